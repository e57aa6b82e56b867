"""Output: the base of what calls return, with the access of Hugging Face's ModelOutput."""

from collections.abc import Iterator
from typing import Any

from .errors import brief


class Output:
    """The base of all outputs: attribute, key and index access to the fields that are set.

    The order is upstream's: the fields of a class come before those of its base.
    """

    def keys(self) -> list[str]:
        """Return the names of the fields that are set, in order."""
        names = [name for cls in type(self).__mro__ for name in vars(cls).get("__annotations__", ())]
        return [name for name in names if getattr(self, name) is not None]

    def values(self) -> list[Any]:
        """Return the fields that are set, in order."""
        return [getattr(self, name) for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        """Return names and fields that are set, in order."""
        return list(zip(self.keys(), self.values(), strict=True))

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the fields that are set, in order."""
        return tuple(self.values())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the field of that name, or the default where it is not set."""
        return getattr(self, name) if name in self.keys() else default

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(f"{brief(key)}: this output has {', '.join(self.keys())}")
            return getattr(self, key)
        return self.to_tuple()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())
