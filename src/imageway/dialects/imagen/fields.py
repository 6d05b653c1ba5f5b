"""The fields of a prediction (google-genai, models.py) and where each may stand, in camelCase and in snake_case. Type
checks, unknown fields, error texts and documents come from this table."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.requests import MAX_IMAGES
from imageway.dialects.shared import kinds
from imageway.dialects.shared.kinds import Kind
from imageway.dialects.shared.table import TOP, Field, Table

FAMILY: Final = "imagen"  # not what other calls of the same vendor take: unknown fields stay apart
PARAMETERS, OPTIONS, UPSCALE, EDIT = ("parameters",), ("outputOptions",), ("upscaleConfig",), ("editConfig",)

MEANINGS: Final = {
    "instances": "prompt, images and mask",
    "tier": "joins the ratio in the request's geometry",
    "mode": "says that the image is only made larger",
    "container": "holds other fields of this table",
    "ignored": "known to the vendor, offered by none here: reported",
    "reasons": "asks for a word in the place of every image that was filtered",
}
REASONS: Final = "reasons"  # the shape of an answer with them
FACTORS: Final = {"x2": 2, "x3": 3, "x4": 4}
ANYWAY: Final = ("EDIT_MODE_DEFAULT", "EDIT_MODE_INPAINT_INSERTION")  # what a prompt and a mask say by themselves


def _factor(value: Tree) -> int | None:
    return FACTORS.get(value) if isinstance(value, str) else None


def _edit_mode(value: Tree) -> Tree:
    return False if value in ANYWAY else value


FACTOR: Final = Kind("string", tuple(FACTORS), _factor, limits={"enum": [*FACTORS]})
EDIT_MODE: Final = Kind("any", ("anything",), _edit_mode)
PERSON: Final = kinds.words("allow_all", "allow_adult", "dont_allow", allow_none="dont_allow")


def _ignored(where: str, why: str, *names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "ignored", kinds.ANYTHING, f"Not sent: {why}.", (where,), why=why) for name in names)


FIELDS: Final[tuple[Field, ...]] = (
    Field("instances", "instances", kinds.LIST, "One object: `{prompt, referenceImages}` or `{image}`."),
    Field("parameters", "container", kinds.OBJECT, "How it is made."),
    # How many, how large
    Field("sampleCount", "n", kinds.integers(1, MAX_IMAGES), "How many images; 1 when absent.", PARAMETERS),
    Field("aspectRatio", "geometry", kinds.SIZE, "Width to height.", PARAMETERS),
    Field("sampleImageSize", "tier", kinds.TIER, "1K, 2K or 4K, where the model has it.", PARAMETERS, ("imageSize",)),
    Field("mode", "mode", kinds.words("upscale"), "Make `instances[0].image` larger.", PARAMETERS),
    Field("upscaleFactor", "scale", FACTOR, "How many times as wide and high.", UPSCALE),
    # How it is made
    Field("negativePrompt", "negative_prompt", kinds.TEXT, "What it should not show.", PARAMETERS),
    Field("guidanceScale", "guidance", kinds.NUMBER, "How closely the prompt is followed.", PARAMETERS),
    Field("seed", "seed", kinds.INTEGER, "The same seed draws alike.", PARAMETERS),
    Field("enhancePrompt", "enhance_prompt", kinds.BOOLEAN, "Let the model enrich the prompt.", PARAMETERS),
    Field("addWatermark", "watermark", kinds.BOOLEAN, "A mark in the image.", PARAMETERS),
    Field("personGeneration", "person", PERSON, "Which people may be drawn.", PARAMETERS),
    Field("mimeType", "output_format", kinds.media_types("png", "jpeg", "webp"), "The file format.", OPTIONS),
    Field("compressionQuality", "output_compression", kinds.integers(0, 100), "Of JPEG and WebP, in percent.", OPTIONS),
    Field("includeRaiReason", "reasons", kinds.BOOLEAN, "Tell why an image was filtered, in its place.", PARAMETERS),
    Field("editMode", "ignored", EDIT_MODE, "Not sent.", PARAMETERS, why="the prompt says what to do with the images"),
    # Objects that hold fields
    Field("outputOptions", "container", kinds.OBJECT, "The image's file.", PARAMETERS),
    Field("upscaleConfig", "container", kinds.OBJECT, "How much larger.", PARAMETERS),
    Field("editConfig", "container", kinds.OBJECT, "Details of an edit.", PARAMETERS),
    # The vendor's own
    *_ignored(TOP, "usage is booked by key and workspace", "labels"),
    *_ignored("parameters", "each provider's own filters hold", "safetySetting", "includeSafetyAttributes"),
    *_ignored("parameters", "the images are in the answer itself", "storageUri"),
    *_ignored("parameters", "models find it out themselves", "language"),
    *_ignored("editConfig", "no model takes it here", "baseSteps", "maskMode", "maskDilation"),
    *_ignored("upscaleConfig", "no model takes it here", "enhanceInputImage", "imagePreservationFactor"),
)
TABLE: Final = Table(
    FIELDS,
    open_places=(TOP, *PARAMETERS, *OPTIONS, *UPSCALE, *EDIT),
    synonyms=(("operation", "mode"),),
    within=(("prompt", "instances[0].prompt"), ("images", "instances[0].referenceImages")),
    snake=True,
)
