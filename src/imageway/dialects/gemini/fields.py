"""The fields of generateContent (ai.google.dev/api/generate-content) and where each may stand, in camelCase and in
snake_case. Type checks, unknown fields, error texts and documents come from this table."""

from __future__ import annotations

from typing import Final

from imageway.core.requests import MAX_IMAGES
from imageway.dialects.gemini.kinds import CONTENT, MEDIA_TYPE, ONE_OR_MORE, PERSON, RATIO, SIZE_TIER, harmless
from imageway.dialects.shared import kinds
from imageway.dialects.shared.kinds import Kind
from imageway.dialects.shared.table import TOP, Field, Table

FAMILY: Final = "google"
CONFIG, THINKING, FORMAT = ("generationConfig",), ("thinkingConfig",), ("responseFormat",)
IMAGE, OUTPUT, BOTH = ("imageConfig",), ("imageOutputOptions",), ("imageConfig", "image")

MEANINGS: Final = {
    "contents": "conversation: turns, prompt and images",
    "system": "goes before the text of the first turn",
    "tier": "joins the ratio in the request's geometry",
    "delivery": "base64 in the answer, or links",
    "refused": "stands for a part of the request that is not here",
    "container": "holds other fields of this table",
    "ignored": "known to the vendor, offered by none here: reported",
    "named": "names the model, as the path does",
}
FILTERS: Final = "each provider's own safety settings hold"
TEXT_ONLY: Final = "it concerns text, and images are made here"
ONE_PIECE: Final = "the images are in the answer itself"
NOBODY: Final = "no model takes it here"


def _ignored(where: str, why: str, *names: str, kind: Kind = kinds.ANYTHING) -> tuple[Field, ...]:
    return tuple(Field(name, "ignored", kind, f"Not sent: {why}.", (where,), why=why) for name in names)


FIELDS: Final[tuple[Field, ...]] = (
    Field("contents", "contents", ONE_OR_MORE, "The conversation: `[{role, parts: [{text} | {inlineData} | …]}]`."),
    Field("systemInstruction", "system", CONTENT, "Text that goes before the first turn's: `{parts: [{text}]}`."),
    Field("cachedContent", "refused", kinds.ANYTHING, "Refused: no part of a prompt is kept here."),
    Field("model", "named", kinds.TEXT, "The same as in the path, which counts."),
    Field("generationConfig", "container", kinds.OBJECT, "How it is made."),
    *_ignored(TOP, FILTERS, "safetySettings", "modelArmorConfig"),
    *_ignored(TOP, "images are made without tools here", "tools", "toolConfig"),
    *_ignored(TOP, "usage is booked by key and workspace", "labels"),
    *_ignored(TOP, "there is one tier here", "serviceTier", kind=harmless("a tier", "standard", "STANDARD")),
    *_ignored(TOP, ONE_PIECE, "outputConfig", "continuationToken", "store"),
    # How it is made
    Field("responseModalities", "want_text", kinds.MODALITIES, "`IMAGE`, or `TEXT` beside it.", CONFIG),
    Field("candidateCount", "n", kinds.integers(1, MAX_IMAGES), "How many images, each a candidate.", CONFIG),
    Field("seed", "seed", kinds.INTEGER, "The same seed draws alike.", CONFIG),
    Field("temperature", "temperature", kinds.NUMBER, "How freely the model chooses.", CONFIG),
    Field("topP", "top_p", kinds.NUMBER, "The share of likelihood it chooses from.", CONFIG),
    Field("imageConfig", "container", kinds.OBJECT, "The image's shape and file.", CONFIG),
    Field("thinkingConfig", "container", kinds.OBJECT, "How thoroughly it thinks first.", CONFIG),
    Field("responseFormat", "container", kinds.OBJECT, "The same as `imageConfig`: `{image}`, or a list.", CONFIG),
    *_ignored("generationConfig", NOBODY, "topK", "enableAffectiveDialog", "enableEnhancedCivicAnswers"),
    *_ignored(
        "generationConfig",
        TEXT_ONLY,
        *("maxOutputTokens", "stopSequences", "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs"),
        *("responseSchema", "responseJsonSchema", "speechConfig", "audioTimestamp", "audioTranscriptionConfig"),
        *("translationConfig",),
    ),
    *_ignored("generationConfig", TEXT_ONLY, "responseMimeType", kind=harmless("a media type", "text/plain")),
    *_ignored("generationConfig", "input images go as they are", "mediaResolution"),
    *_ignored("generationConfig", "the path names the model", "modelConfig", "routingConfig"),
    # The image
    Field("aspectRatio", "geometry", RATIO, "Width to height.", BOTH),
    Field("imageSize", "tier", SIZE_TIER, "512, 1K, 2K or 4K, where the model has it.", BOTH),
    Field("personGeneration", "person", PERSON, "Which people may be drawn.", IMAGE),
    *_ignored("imageConfig", FILTERS, "prominentPeople"),
    Field("imageOutputOptions", "container", kinds.OBJECT, "The image's file.", IMAGE),
    Field("mimeType", "output_format", MEDIA_TYPE, "The file format.", (*OUTPUT, "image")),
    Field("compressionQuality", "output_compression", kinds.integers(0, 100), "Of JPEG and WebP, in percent.", OUTPUT),
    Field("outputMimeType", "output_format", MEDIA_TYPE, "The file format.", IMAGE),
    Field("outputCompressionQuality", "output_compression", kinds.integers(0, 100), "In percent.", IMAGE),
    Field("image", "container", kinds.OBJECT, "The image's shape, file and delivery.", FORMAT),
    *_ignored("responseFormat", TEXT_ONLY, "text", "audio", "video"),
    Field("delivery", "delivery", kinds.words("inline", "uri"), "`URI`: links in place of base64.", ("image",)),
    # Thinking
    Field("thinkingLevel", "thinking", kinds.words("minimal", "low", "medium", "high"), "How much.", THINKING),
    *_ignored("thinkingConfig", "models here know levels", "thinkingBudget"),
    *_ignored("thinkingConfig", "thoughts are not passed on", "includeThoughts"),
)
TABLE: Final = Table(
    FIELDS,
    open_places=(TOP, *CONFIG, *IMAGE, *OUTPUT, *THINKING, *FORMAT, "image"),
    synonyms=(("prompt", "contents"), ("turns", "contents"), ("images", "contents")),
    snake=True,
)
