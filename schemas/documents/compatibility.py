"""Whether a change of a schema breaks publishers or subscribers. In: two schemas; out: breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Schema = dict[str, Any]
Direction = Literal["in", "out"]

_NOTES = {"title", "description", "default", "examples", "$id", "$schema", "$defs"}
_WALKED = {"type", "anyOf", "enum", "const", "$ref", "properties", "required", "items"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Compares what publishers and subscribers may rely on in two schemas.

    An inbound topic must accept everything that it accepted before; an outbound topic must carry
    nothing that existing subscribers don't know. So an additional type is fine inbound and breaks
    outbound, and a removed type the other way round. A removed field always breaks: an inbound
    field would silently lose its meaning.

    Parameters
    ----------
    old, new
        Whole schema documents with their `$defs`.
    direction
        As seen from Hark.
    """

    old: Schema
    new: Schema
    direction: Direction

    def breaks(self) -> list[str]:
        """One line per breaking change; empty when there is none."""
        return list(self._walk(self.old, self.new, "$"))

    def _walk(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        before, after = self._variants(old, self.old), self._variants(new, self.new)
        if self.direction == "in" and (gone := _uncovered(before, after)):
            yield f"{at}: no longer accepts {', '.join(gone)}"
        if self.direction == "out" and (more := _uncovered(after, before)):
            yield f"{at}: may now be {', '.join(more)}"
        for name in sorted(before.keys() & after.keys()):
            yield from self._limits(before[name], after[name], at)
            if name == "object":
                yield from self._fields(before[name], after[name], at)
            elif name == "array":
                items = before[name].get("items", {}), after[name].get("items", {})
                yield from self._walk(*items, f"{at}[]")

    def _fields(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        must, must_now = set(old.get("required", [])), set(new.get("required", []))
        for name in before:
            if name not in after:
                yield f"{at}.{name}: removed"
            else:
                yield from self._walk(before[name], after[name], f"{at}.{name}")
        if self.direction == "in":
            yield from (f"{at}.{name}: now required" for name in sorted(must_now - must))
        else:
            dropped = (must - must_now) & after.keys()
            yield from (f"{at}.{name}: no longer always there" for name in sorted(dropped))

    def _limits(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        """Any other rule: loosening is safe inbound, tightening is safe outbound."""
        for rule in sorted((old.keys() | new.keys()) - _NOTES - _WALKED):
            before, after = _without_texts(old.get(rule)), _without_texts(new.get(rule))
            if before == after:
                continue
            looser = after is None or (before is not None and _looser(rule, before, after))
            tighter = before is None or (after is not None and _looser(rule, after, before))
            if not (looser if self.direction == "in" else tighter):
                yield f"{at}: {rule} was {before!r}, now {after!r}"

    def _variants(self, schema: Schema, document: Schema) -> dict[str, Schema]:
        """The variants that a value may have: type or constant -> the variant's schema."""
        if "$ref" in schema:
            target = document["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
            return self._variants(target, document)
        if "anyOf" in schema:
            return {
                name: variant
                for option in schema["anyOf"]
                for name, variant in self._variants(option, document).items()
            }
        if "const" in schema:
            return {repr(schema["const"]): {}}
        if "enum" in schema:
            return {repr(value): {} for value in schema["enum"]}
        types = schema.get("type", "anything")
        return dict.fromkeys(types if isinstance(types, list) else [types], schema)


def _without_texts(rule: Any) -> Any:
    """A rule without the descriptions in it: a description is for people."""
    if isinstance(rule, list):
        return [_without_texts(part) for part in rule]
    if not isinstance(rule, dict):
        return rule
    return {
        name: _without_texts(part)
        for name, part in rule.items()
        if not (name == "description" and isinstance(part, str))
    }


def _uncovered(variants: dict[str, Schema], others: dict[str, Schema]) -> list[str]:
    """The names of `variants` that no variant of `others` includes."""

    def covered(name: str) -> bool:
        wider = "number" if name == "integer" else "string" if name.startswith("'") else name
        return not {name, wider, "anything"}.isdisjoint(others)

    return sorted(name for name in variants if not covered(name))


def _looser(rule: str, before: Any, after: Any) -> bool:
    if rule.startswith("max") or rule == "exclusiveMaximum":
        return bool(after > before)
    if rule.startswith("min") or rule == "exclusiveMinimum":
        return bool(after < before)
    return False
