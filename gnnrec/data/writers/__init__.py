"""Writers of other projects' file formats, so that they can be run on exactly our split."""
