"""InitConfig: how ids, texts and other features become the node matrix."""

from __future__ import annotations

from dataclasses import dataclass, field

from gnnrec.errors import ConfigError, check_choice, check_range
from gnnrec.text.blocks import BlockConfig

MODES = ("id", "text", "text_init", "id_text", "spectral")
USER_MODES = ("id", "text", "profile", "id_text", "id_profile", "profile_init", "spectral")
USER_PROJECTIONS = ("text", "profile", "id_text", "id_profile")
COMBINATIONS = ("sum", "concat", "gate", "residual")
STARTS = ("pca", "variance", "full")
_SHARING = tuple((mode, users) for mode in ("text", "id_text") for users in ("profile", "id_profile"))


@dataclass(frozen=True)
class InitConfig:
    """How the node matrix is made.

    Args:
        mode: items: `id` a trainable table; `text` a trained projection of frozen text vectors; `text_init` a
            trainable table that starts at the text vectors (see `start`); `id_text` id and text (see `combine`);
            `spectral` a trainable table that starts at the truncated SVD of the train matrix (see spectral_start).
        users: users: `id`, `text` (projected user texts), `profile` (projected mean of the text vectors of the
            user's train items), `id_text`, `id_profile` (both parts, see `combine`), `profile_init` (a trainable
            table that starts at the mean of the rows of x of the user's train items), `spectral` (with mode=spectral).
        dim: width of x.
        hidden: width of the hidden layer of the projection; 0 for a linear map.
        experts: projections that a learned gate mixes for each node (see ExpertProjection); 0 for a single one.
        std: standard deviation of the initial id table.
        combine: how id, text and blocks become one row: `sum`; `concat` (side by side, then a linear map);
            `gate` (a learned share of each, per node); `residual` (sum, ids start at zero). See Combined.
        start: of `text_init`: `pca` the leading principal components, `variance` the columns of largest variance
            among train items, `full` all columns, followed by a trained linear map.
        shared: items and users' profiles share one projection.
        item_blocks, user_blocks: name -> block, in place of the one vector per item or user of the `text` group
            (see gnnrec.text.blocks). Where a mode says text, all blocks are combined; `text_init` and
            `neighbours` take them side by side.
        neighbours: an item that training never sees also gets the mean final embedding of so many seen items with
            the nearest texts (see TextNeighbours); 0 for none.
        own_weight: what its own encoded text is weighted with beside that mean.
        id_dropout: probability that, during training, a node loses its id part beside text, so that the text part
            learns to stand alone, as it must for an unseen item (the idea of DropoutNet, Volkovs et al. 2017,
            https://papers.nips.cc/paper/2017/hash/dbd22ba3bd0df8f385bdac3e9f8be207-Abstract.html).
    """

    mode: str = "id"
    users: str = "id"
    dim: int = 64
    hidden: int = 0
    experts: int = 0
    std: float = 0.1
    combine: str = "sum"
    start: str = "pca"
    shared: bool = False
    item_blocks: dict[str, BlockConfig] = field(default_factory=dict)
    user_blocks: dict[str, BlockConfig] = field(default_factory=dict)
    neighbours: int = 0
    own_weight: float = 0.5
    id_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, MODES, "init")
        check_choice("users", self.users, USER_MODES, "init")
        check_choice("combine", self.combine, COMBINATIONS, "init")
        check_choice("start", self.start, STARTS, "init")
        check_range("dim", self.dim, "init", low=1)
        check_range("hidden", self.hidden, "init", low=0)
        check_range("experts", self.experts, "init", low=0)
        check_range("std", self.std, "init", low=0, low_open=True)
        check_range("neighbours", self.neighbours, "init", low=0)
        check_range("own_weight", self.own_weight, "init", low=0)
        check_range("id_dropout", self.id_dropout, "init", low=0, high=1, high_open=True)
        if (self.mode == "spectral") != (self.users == "spectral"):
            raise ConfigError(
                "'spectral' needs both mode=spectral and users=spectral in 'init' "
                f"(got mode={self.mode}, users={self.users})"
            )
        if self.experts and self.hidden:
            raise ConfigError(
                f"'hidden' must be 0 with 'experts', which are linear, in 'init' (got {self.hidden})"
            )
        if self.shared and (self.mode, self.users) not in _SHARING:
            raise ConfigError(
                "'shared' needs mode=text or id_text with users=profile or id_profile in 'init' "
                f"(got mode={self.mode}, users={self.users})"
            )
        if self.combine == "residual" and "id_" not in self.mode + self.users:
            raise ConfigError(
                "'combine'=residual needs an id beside the text in 'init': mode=id_text, users=id_text or "
                f"users=id_profile (got mode={self.mode}, users={self.users})"
            )
        for name, reader in self._unread().items():
            usual = getattr(InitConfig, name)
            if getattr(self, name) != usual:
                raise ConfigError(
                    f"'{name}' has no say in 'init' without {reader} (got {getattr(self, name)} with mode={self.mode}, "
                    f"users={self.users}): leave it at {usual}"
                )

    def _unread(self) -> dict[str, str]:
        """Return the keys that these modes do not read, each with what would read it."""
        projection = "a projection of text (mode=text or id_text, users=text, profile, id_text or id_profile)"
        unread = {}
        if "id_" not in self.mode + self.users:
            unread["id_dropout"] = "an id beside the text (mode=id_text, users=id_text or id_profile)"
        if self.mode not in ("text", "id_text") and self.users not in USER_PROJECTIONS:
            unread |= {"hidden": projection, "experts": projection, "combine": projection}
        if self.mode != "text_init":
            unread["start"] = "mode=text_init"
        if not self.neighbours:
            unread["own_weight"] = "neighbours"
        return unread

    @property
    def combines(self) -> bool:
        """Whether the nodes of a side have two parts or more, by the blocks that are named here."""
        item_blocks = len(self.item_blocks) if self.mode == "text" or self.users == "profile" else 0
        user_blocks = len(self.user_blocks) if self.users == "text" else 0
        return "id_" in self.mode + self.users or max(item_blocks, user_blocks) > 1

    @property
    def needs_item_text(self) -> bool:
        return "text" in self.mode or self.users in ("profile", "id_profile") or self.neighbours > 0

    @property
    def needs_user_text(self) -> bool:
        return "text" in self.users
