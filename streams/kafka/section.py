"""What every section of the settings is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen section that refuses unknown settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
