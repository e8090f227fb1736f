"""A device that is none: ordinary tensors that say they are elsewhere, and may not be mixed with those that do not.

Code for an accelerator is run without one: what torch would refuse on CUDA (tensors of two devices in one operation, a
generator of the other device, `numpy()` of a tensor on the device) is an error here, too, and where the host would
wait for the device is counted. Results are those of the processor. The device is called `meta`, which torch lets
backward passes run on anywhere; `is_cuda` is true.
"""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch._dynamo  # what a dispatch mode imports at its first operation, by then under the patches
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
# Operations that take tensors of two devices: copies, and indices from the host.
_MIXED = ("_to_copy", "copy_", "_foreach_copy_", "index.Tensor", "index_put", "_index_put_impl_")
# Operations whose result's size, or a number, the host has to wait for.
_WAITING = (
    "_local_scalar_dense",
    "nonzero",
    "_unique2",
    "masked_select",
    "equal",
    "repeat_interleave.Tensor",
)


class DeviceTensor(Tensor):
    """A tensor that says it is on the device; `held` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> DeviceTensor:
        place: dict[str, Any] = {}
        if held.layout == torch.strided:
            place = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        tensor = Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype, device=DEVICE, **place)  # type: ignore[attr-defined]
        tensor.held = held
        return tensor

    is_cuda = property(lambda self: True)  # type: ignore[assignment]

    def tolist(self) -> Any:
        _waits["tolist", _place()] += 1
        return self.held.tolist()

    def numpy(self, *args: Any, **options: Any) -> Any:
        raise TypeError("can't convert a tensor on the device to numpy: use .cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(operation, args, kwargs or {})


class DeviceGenerator(torch.Generator):
    """A generator that says which of the two devices it is of."""

    place: torch.device

    def __new__(cls, device: Any = "cpu") -> DeviceGenerator:
        generator = super().__new__(cls)
        generator.place = torch.device(device)
        return generator

    device = property(lambda self: self.place)  # type: ignore[assignment]


_waits: Counter[tuple[str, str]] = Counter()


def _place() -> str:
    own = [frame for frame in traceback.extract_stack() if "/gnnrec/" in frame.filename.replace("\\", "/")]
    return f"{own[-1].filename.rpartition('gnnrec')[2]} {own[-1].name}" if own else "elsewhere"


def _dispatch(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = operation.__name__
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    here = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
    target = kwargs.get("device")
    on_device = bool(here) if target is None else torch.device(target).type == DEVICE.type
    strangers = [tensor for tensor in tensors if tensor.dim() and not isinstance(tensor, DeviceTensor)]
    if here and strangers and not name.startswith(_MIXED):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    if here and (not on_device or _by_mask(name, args) or _is_awaited(name, kwargs)):
        _waits[name, _place()] += 1

    def held(leaf: Any) -> Any:
        return leaf.held if isinstance(leaf, DeviceTensor) else leaf

    options = tree_map(held, kwargs)
    if target is not None:
        options["device"] = torch.device("cpu")
    result = operation(*tree_map(held, args), **options)
    if not on_device:
        return result
    # An operation in place returns the tensor it was given.
    known = {id(tensor.held): tensor for tensor in here}

    def on_it(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return known[id(leaf)] if id(leaf) in known else DeviceTensor(leaf)

    return tree_map(on_it, result)


def _is_awaited(name: str, kwargs: dict[str, Any]) -> bool:
    return name.startswith(_WAITING) and kwargs.get("output_size") is None


def _by_mask(name: str, args: Any) -> bool:
    return name == "index.Tensor" and any(i is not None and i.dtype == torch.bool for i in args[1])


class _Generators(TorchFunctionMode):
    """Check the device of generators, which operations see as torch's own."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        generator = kwargs.get("generator")
        if isinstance(result, Tensor) and generator is not None and generator.device != result.device:
            raise RuntimeError(f"expected a generator on {result.device} (got one on {generator.device})")
        return result


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _dispatch(operation, args, kwargs or {})


@contextmanager
def pretended_device() -> Iterator[Counter[tuple[str, str]]]:
    """Pretend the device DEVICE within; yield the count of waits of the host, by operation and place in gnnrec."""
    from_data = torch.tensor

    def tensor(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        made = from_data(data, **options)  # torch makes an empty tensor of the data on a device of this name
        return made if device is None else made.to(device)

    _waits.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "tensor", tensor)
        patch.setattr(torch, "Generator", DeviceGenerator)
        fused = "_get_fused_kernels_supported_devices"
        patch.setattr(sys.modules["torch.optim.optimizer"], fused, lambda: ["cpu", DEVICE.type])
        with _Generators(), _Operations():
            yield _waits
