"""The block `generation`: how rows of data become prompts and completions, and how texts are judged."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from prehoc.config.blocks import Block, Count


class Decoding(Block):
    """How the next token is chosen."""

    kind: Literal["greedy", "sample"]
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(description="of sample")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(description="of sample: share of mass kept")


class Generation(Block):
    """Text generation: templates over the data's columns, decoding, and the judge of what is written."""

    prompt: str = Field(description="template over the data's columns, as {question}; {{ is a brace")
    completion: str = Field(description="template of what is trained, and the judge's reference")
    chat: Literal["auto", "never", "always"] = Field(
        description="the tokeniser's chat template; auto: where it has one"
    )
    judge: Literal["number", "exact", "tests"]
    max_new_tokens: Count
    decoding: Decoding
    stop: list[Annotated[str, Field(min_length=1)]] = Field(
        description="strings that end a text, and are no part of it"
    )
    cache_mb: Count = Field(description="memory for keys and values while decoding, all runs together")

    @field_validator("prompt", "completion")
    @classmethod
    def _template(cls, value: str) -> str:
        fields_of(value)
        return value

    @model_validator(mode="after")
    def _completes(self) -> Generation:
        if not self.completion.strip():
            raise ValueError("completion is empty; name the column that is to be written, as {answer}")
        return self


def fields_of(template: str) -> list[str]:
    """The columns that a template names, each once, in order.

    Raises ValueError where a field is no plain column name: attributes, indices, formats.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"template {template!r}: {error}; write {{column}}, and {{{{ for a brace"
        ) from None
    names: list[str] = []
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not name or form or conversion or any(c in name for c in ".[]"):
            raise ValueError(f"template {template!r}: write the bare name of a column in braces")
        if name not in names:
            names.append(name)
    return names
