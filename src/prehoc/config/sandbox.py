"""The block `sandbox`: how programs that a model wrote are fenced, and what each may use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from prehoc.config.blocks import Block


class Sandbox(Block):
    """The level of the sandbox and its limits, for one program each."""

    kind: Literal["auto", "bubblewrap", "namespaces", "seccomp"] = Field(
        description="auto: the first of the others that this machine allows"
    )
    cpu_s: Annotated[int, Field(ge=1)] = Field(description="seconds of CPU")
    wall_s: Annotated[float, Field(gt=0)] = Field(description="seconds on the clock")
    memory_mb: Annotated[int, Field(ge=64)] = Field(description="address space, MiB")
    scratch_mb: Annotated[int, Field(ge=1)] = Field(description="scratch folder, MiB")
    open_files: Annotated[int, Field(ge=16, le=4096)] = Field(description="files open at a time")

    def limits(self) -> dict[str, Any]:
        """The limits alone, as the fields of prehoc.sandbox.Limits."""
        return self.model_dump(exclude={"kind"})
