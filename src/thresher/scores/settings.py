"""The sections [shards] and [score] of a config."""

from pydantic import Field

from thresher.settings import FilePath, Pattern, ScorerText, Section


class Shards(Section):
    """The pool of pairs."""

    paths: tuple[Pattern, ...] = Field(
        min_length=1,
        examples=[["shards/{00000..00009}.tar"]],
        description="Tars, folders or tables of pairs; brace patterns, globs, `::` and addresses work.",
    )
    exclude: FilePath | None = Field(
        default=None,
        examples=["exclude.txt"],
        description="Pairs never to use: uids as text (one a line), .npy or Parquet.",
    )
    allow_outside: bool = Field(
        default=False, description="Whether tables may name images that are not below their own folder."
    )
    allow_remote: bool = Field(default=False, description="Whether tables may name addresses of images.")


class Score(Section):
    """One row a pair, one column a scorer."""

    scorers: tuple[ScorerText, ...] = Field(
        default=("clip", "caption"),
        min_length=1,
        examples=[["clip:model=ViT-B-32,pretrained=laion2b_s34b_b79k", "caption"]],
        description="Scorers, each NAME or NAME:key=value,key=value. clip needs weights: `pretrained`, a tag "
        "or a file, or the section [filter], whose network a bare clip takes.",
    )
    batch_size: int = Field(default=256, gt=0, description="Pairs a forward pass.")
    workers: int = Field(
        default=2, ge=0, description="Processes that decode images; 0 decodes in the main process."
    )
