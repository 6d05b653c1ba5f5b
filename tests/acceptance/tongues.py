"""Every dialect as its own callers write and read it, by hand from the vendors' pages: what a wish looks like on the
wire, where an answer keeps its pictures and its warnings, how an error is told. None of it comes from the gateway."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from PIL import Image, ImageOps

from tests.integration.processes import Answer, call

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is wanted. Who writes pixels asks for `pixels`, who writes ratios and tiers for those."""

    model: str
    prompt: str = "a red boat"
    images: tuple[bytes, ...] = ()
    mask: bytes | None = None
    n: int | None = None
    file_format: str | None = None
    quality: int | None = None
    pixels: tuple[int, int] | None = None
    ratio: tuple[int, int] | None = None
    tier: str | None = None
    stream: bool = False


@dataclass(frozen=True)
class Told:
    """An answer, read. `items` are base64 or links; of an error there is its `code` and `message`."""

    status: int
    request_id: str
    items: tuple[str, ...] = ()
    warnings: tuple[Json, ...] = ()
    code: str = ""
    message: str = ""
    whole: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def pictures(self) -> list[bytes]:
        return [call(item).content if item.startswith("http") else base64.b64decode(item) for item in self.items]


def picture(mode: str = "RGB", size: tuple[int, int] = (1024, 768)) -> bytes:
    """A plain one, as PNG; with an alpha channel, clear everywhere."""
    file = io.BytesIO()
    Image.new(mode, size, (40, 90, 200, 0)[: len(mode)]).save(file, "PNG")
    return file.getvalue()


def data_url(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def base64_of(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def by_light(mask: bytes) -> bytes:
    """The same mask with white for what was transparent, and black for the rest."""
    out = io.BytesIO()
    ImageOps.invert(Image.open(io.BytesIO(mask)).getchannel("A")).save(out, "PNG")
    return out.getvalue()


def given(**members: Any) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def events_of(content: bytes) -> Iterator[tuple[str, Any]]:
    """(name, data) of server-sent events; data that is no JSON as text."""
    for block in content.decode().replace("\r\n", "\n").split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if line and not line.startswith(":")]
        data = "\n".join(text for name, _, text in lines if name == "data")
        if data:
            name = next((text for name, _, text in lines if name == "event"), "")
            yield name, json.loads(data) if data.startswith("{") else data


class Tongue:
    """One dialect. `refusals`: what was wrong → (status, code) in the dialect's own words; without an entry there is no
    way to say it."""

    name: ClassVar[str]
    streams: ClassVar[bool] = False
    writes_pixels: ClassVar[bool] = True
    writes_quality: ClassVar[bool] = True
    refusals: ClassVar[Mapping[str, tuple[int, str]]]

    def path(self, order: Order) -> str:
        raise NotImplementedError

    def body(self, order: Order) -> Json:
        raise NotImplementedError

    def items(self, whole: Any) -> list[str]:
        raise NotImplementedError

    def streamed(self, events: list[tuple[str, Any]]) -> list[str]:
        """The finished pictures of a stream that ended as it should."""
        raise NotImplementedError

    def problem(self, whole: Any) -> tuple[str, str]:
        return str(whole["error"]["code"]), str(whole["error"]["message"])

    def credential(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}

    def content(self, order: Order) -> tuple[bytes, str]:
        return json.dumps(self.body(order)).encode(), "application/json"

    def warnings(self, answer: Answer, whole: Any) -> list[Json]:
        found: list[Json] = json.loads(answer.headers.get("x-imageway-warnings", "[]"))
        return found

    def ask(self, url: str, key: str, order: Order, **headers: str) -> Told:
        content, content_type = self.content(order)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"content-type": content_type, **self.credential(key), **named}
        return self.read(call(url + self.path(order), content, headers=sent))

    def read(self, answer: Answer) -> Told:
        request_id = answer.headers["x-request-id"]
        if answer.headers["content-type"].startswith("text/event-stream"):
            events = list(events_of(answer.content))
            items = tuple(self.streamed(events))
            warnings = tuple(self.warnings(answer, events[-1][1]))
            return Told(answer.status, request_id, items, warnings, whole=events, headers=answer.headers)
        whole = answer.json
        if answer.status != 200:
            code, message = self.problem(whole)
            return Told(answer.status, request_id, (), (), code, message, whole, answer.headers)
        warnings = tuple(self.warnings(answer, whole))
        return Told(200, request_id, tuple(self.items(whole)), warnings, whole=whole, headers=answer.headers)


def pixels_of(order: Order, between: str = "x") -> str | None:
    return f"{order.pixels[0]}{between}{order.pixels[1]}" if order.pixels else None


def ratio_of(order: Order) -> str | None:
    return f"{order.ratio[0]}:{order.ratio[1]}" if order.ratio else None


def output_options(order: Order) -> Json | None:
    """Google's, in either of its formats."""
    wanted = f"image/{order.file_format}" if order.file_format else None
    return given(mimeType=wanted, compressionQuality=order.quality) or None


UNIFIED = {
    "text only": (400, "image_not_supported"),
    "count": (400, "invalid_value"),
    "mask": (400, "parameter_not_supported"),
    "model": (404, "model_not_found"),
    "money": (402, "insufficient_balance"),
    "key": (401, "invalid_api_key"),
}


class Unified(Tongue):
    """OpenAI's Images API. Edits are forms, as its SDKs send them."""

    name = "openai_images"
    streams = True
    refusals = UNIFIED

    def path(self, order: Order) -> str:
        return f"/v1/images/{'edits' if order.images else 'generations'}"

    def body(self, order: Order) -> Json:
        return given(
            model=order.model,
            prompt=order.prompt,
            n=order.n,
            size=pixels_of(order),
            output_format=order.file_format,
            output_compression=order.quality,
            stream=order.stream or None,
        )

    def content(self, order: Order) -> tuple[bytes, str]:
        if not order.images:
            return super().content(order)
        files = [("image[]", picture) for picture in order.images]
        files += [("mask", order.mask)] if order.mask else []
        edge, parts = b"--edge\r\n", []
        for name, value in self.body(order).items():
            text = json.dumps(value) if isinstance(value, bool) else str(value)
            parts.append(f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode())
        for name, content in files:
            head = f'Content-Disposition: form-data; name="{name}"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
            parts.append(head.encode() + content + b"\r\n")
        return b"".join(edge + part for part in parts) + b"--edge--\r\n", "multipart/form-data; boundary=edge"

    def items(self, whole: Any) -> list[str]:
        return [item.get("b64_json") or item["url"] for item in whole["data"]]

    def streamed(self, events: list[tuple[str, Any]]) -> list[str]:
        done = [data for name, data in events if name in ("image_generation.completed", "image_edit.completed")]
        assert all(name == data["type"] for name, data in events)
        assert events[-1][1] is done[-1]
        return [data.get("b64_json") or data["url"] for data in done]

    def warnings(self, answer: Answer, whole: Any) -> list[Json]:
        return [*whole.get("warnings", [])]


class Nested(Unified):
    """The unified endpoint's nested body, which is answered nested."""

    name = "nested"

    def path(self, order: Order) -> str:
        return "/v1/images/generations"

    def body(self, order: Order) -> Json:
        content: list[Json] = [{"image": data_url(picture)} for picture in order.images]
        output = given(output_format=order.file_format, output_compression=order.quality)
        parameters = given(n=order.n, size=pixels_of(order), **output)
        return given(
            model=order.model,
            input={"messages": [{"role": "user", "content": [*content, {"text": order.prompt}]}]},
            parameters=parameters or None,
            mask=data_url(order.mask) if order.mask else None,
            stream=order.stream or None,
        )

    def content(self, order: Order) -> tuple[bytes, str]:
        return Tongue.content(self, order)

    def items(self, whole: Any) -> list[str]:
        assert (whole["code"], whole["msg"]) == (200, "Success")
        assert all(item.keys() == {"url", "b64_json", "revised_prompt"} for item in whole["data"]["data"])
        return [item["b64_json"] or item["url"] for item in whole["data"]["data"]]


class Omixa(Tongue):
    """The resale gateway: GPT Image by pixels, everything else by ratio and tier; only PNG, JPEG and WebP in base64."""

    name = "omixa"
    streams = True
    writes_quality = False
    refusals: ClassVar = {
        **{name: (422 if status == 400 else status, code) for name, (status, code) in UNIFIED.items()},
        "mask": (422, "unknown_parameter"),  # the page of such a model does not list the field
    }

    def path(self, order: Order) -> str:
        return "/api/v1/images/generations"

    def body(self, order: Order) -> Json:
        by_pixels = "gpt-image" in order.model
        return given(
            model=order.model,
            prompt=order.prompt,
            n=order.n,
            output_format=order.file_format,
            size=pixels_of(order) if by_pixels else order.tier,
            aspect_ratio=None if by_pixels else ratio_of(order),
            input_images=[_part(picture) for picture in order.images] or None,
            mask=_part(order.mask) if order.mask else None,
            stream=order.stream or None,
        )

    def items(self, whole: Any) -> list[str]:
        assert all(item["url"] is None for item in whole["data"])
        return [item["b64_json"] for item in whole["data"]]

    def streamed(self, events: list[tuple[str, Any]]) -> list[str]:
        assert {name for name, _ in events} <= {"image_generation.partial_image", "image_generation.completed"}
        return [data["b64_json"] for name, data in events if name == "image_generation.completed"]


def _part(picture: bytes) -> Json:
    return {"type": "image_url", "image_url": {"url": data_url(picture)}}


class Gemini(Tongue):
    """generateContent at AI Studio's paths."""

    name = "gemini"
    streams = True
    writes_pixels = False
    place = "/v1beta"
    refusals: ClassVar = {
        "text only": (400, "INVALID_ARGUMENT"),
        "count": (400, "INVALID_ARGUMENT"),
        "model": (404, "NOT_FOUND"),
        "money": (402, "FAILED_PRECONDITION"),
        "key": (400, "INVALID_ARGUMENT"),
    }

    def credential(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key}

    def path(self, order: Order) -> str:
        action = "streamGenerateContent?alt=sse" if order.stream else "generateContent"
        return f"{self.place}/models/{order.model}:{action}"

    def body(self, order: Order) -> Json:
        inline = [{"inlineData": {"mimeType": "image/png", "data": base64_of(picture)}} for picture in order.images]
        output = output_options(order)
        image = given(aspectRatio=ratio_of(order), imageSize=order.tier, imageOutputOptions=output)
        config = given(responseModalities=["IMAGE"], candidateCount=order.n, imageConfig=image or None)
        return {"contents": [{"role": "user", "parts": [*inline, {"text": order.prompt}]}], "generationConfig": config}

    def items(self, whole: Any) -> list[str]:
        assert [candidate["finishReason"] for candidate in whole["candidates"]] == ["STOP"] * len(whole["candidates"])
        parts = [part for candidate in whole["candidates"] for part in candidate["content"]["parts"]]
        return [part["inlineData"]["data"] for part in parts if "inlineData" in part]

    def streamed(self, events: list[tuple[str, Any]]) -> list[str]:
        assert {name for name, _ in events} == {""}
        assert "usageMetadata" in events[-1][1]
        return [item for _, data in events for item in self.items(data)]

    def problem(self, whole: Any) -> tuple[str, str]:
        violations = [each for detail in whole["error"]["details"] for each in detail.get("fieldViolations", [])]
        reasons = " ".join(each["reason"].lower() for each in violations)
        return str(whole["error"]["status"]), f"{whole['error']['message']} {reasons}"


class Vertex(Gemini):
    """The same at Vertex AI's, with the access token's header."""

    name = "vertex"
    place = "/v1beta1/projects/p-1/locations/global/publishers/google"
    refusals: ClassVar = {**Gemini.refusals, "key": (401, "UNAUTHENTICATED")}

    def credential(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}


class Imagen(Vertex):
    """Predictions; edits by reference images."""

    name = "imagen"
    streams = False
    refusals: ClassVar = {**Vertex.refusals, "mask": (400, "INVALID_ARGUMENT")}

    def path(self, order: Order) -> str:
        return f"{self.place}/models/{order.model}:predict"

    def body(self, order: Order) -> Json:
        pictures = [("REFERENCE_TYPE_RAW", picture) for picture in order.images]
        pictures += [("REFERENCE_TYPE_MASK", by_light(order.mask))] if order.mask else []
        references = [
            {
                "referenceType": kind,
                "referenceId": index + 1,
                "referenceImage": {"bytesBase64Encoded": base64_of(picture), "mimeType": "image/png"},
            }
            for index, (kind, picture) in enumerate(pictures)
        ]
        output = output_options(order)
        return {
            "instances": [given(prompt=order.prompt, referenceImages=references or None)],
            "parameters": given(
                sampleCount=order.n,
                aspectRatio=ratio_of(order),
                sampleImageSize=order.tier,
                outputOptions=output,
            ),
        }

    def items(self, whole: Any) -> list[str]:
        return [prediction["bytesBase64Encoded"] for prediction in whole["predictions"]]


class Ark(Tongue):
    """Volcengine's: links where nobody says otherwise; several images only as a group."""

    name = "ark"
    streams = True
    refusals: ClassVar = {
        "text only": (400, "InvalidParameter.UnsupportedParameter"),
        "count": (400, "InvalidParameter"),
        "model": (404, "InvalidEndpointOrModel.NotFound"),
        "money": (403, "AccountOverdueError"),
        "key": (401, "AuthenticationError"),
    }

    def path(self, order: Order) -> str:
        return "/api/v3/images/generations"

    def body(self, order: Order) -> Json:
        images = [data_url(picture) for picture in order.images]
        group = order.n is not None
        return given(
            model=order.model,
            prompt=order.prompt,
            image=(images if len(images) > 1 else images[0]) if images else None,
            size=pixels_of(order),
            output_format=order.file_format,
            output_compression=order.quality,
            sequential_image_generation="auto" if group else None,
            sequential_image_generation_options={"max_images": order.n + 15} if order.n else None,
            stream=order.stream or None,
        )

    def items(self, whole: Any) -> list[str]:
        return [item.get("b64_json") or item["url"] for item in whole["data"]]

    def streamed(self, events: list[tuple[str, Any]]) -> list[str]:
        assert [data for _, data in events[-1:]] == ["[DONE]"]
        assert events[-2][0] == "image_generation.completed"
        return [data["url"] for name, data in events if name == "image_generation.partial_succeeded"]

    def problem(self, whole: Any) -> tuple[str, str]:
        inner = " ".join(each["code"] for each in whole["error"].get("details", []))
        return str(whole["error"]["code"]), f"{whole['error']['message']} {inner}"


class DashScope(Tongue):
    """Model Studio's conversation, answered at once."""

    name = "dashscope"
    refusals: ClassVar = {
        "text only": (400, "InvalidParameter"),
        "count": (400, "InvalidParameter"),
        "mask": (400, "InvalidParameter"),
        "model": (404, "ModelNotFound"),
        "money": (400, "Arrearage"),
        "key": (401, "InvalidApiKey"),
    }

    def path(self, order: Order) -> str:
        return "/api/v1/services/aigc/multimodal-generation/generation"

    def body(self, order: Order) -> Json:
        content: list[Json] = [{"image": data_url(picture)} for picture in order.images]
        messages = [{"role": "user", "content": [*content, {"text": order.prompt}]}]
        mask = data_url(by_light(order.mask)) if order.mask else None
        output = given(output_format=order.file_format, output_compression=order.quality)
        parameters = given(n=order.n, size=pixels_of(order, "*"), **output)
        return {
            "model": order.model,
            "input": given(messages=messages, mask_image_url=mask),
            "parameters": parameters,
        }

    def items(self, whole: Any) -> list[str]:
        contents = [part for choice in whole["output"]["choices"] for part in choice["message"]["content"]]
        return [part["image"] for part in contents]

    def problem(self, whole: Any) -> tuple[str, str]:
        return str(whole["code"]), str(whole["message"])


class DashScopeTask(DashScope):
    """The same as a task, which is polled until it is done."""

    name = "dashscope_async"

    def path(self, order: Order) -> str:
        return f"/api/v1/services/aigc/{'image2image' if order.images else 'text2image'}/image-synthesis"

    def body(self, order: Order) -> Json:
        images = [data_url(picture) for picture in order.images]
        mask = data_url(by_light(order.mask)) if order.mask else None
        return super().body(order) | {"input": given(prompt=order.prompt, images=images or None, mask_image_url=mask)}

    def ask(self, url: str, key: str, order: Order, **headers: str) -> Told:
        receipt = super().ask(url, key, order, X_DashScope_Async="enable", **headers)
        until = time.monotonic() + 60
        while receipt.status == 200 and time.monotonic() < until:
            polled = call(f"{url}/api/v1/tasks/{receipt.whole['output']['task_id']}", key=key)
            output = polled.json["output"]
            if output["task_status"] not in ("PENDING", "RUNNING"):
                assert output["task_status"] == "SUCCEEDED", output
                items = tuple(result["url"] for result in output["results"])
                warnings = tuple(self.warnings(polled, None))
                return Told(200, receipt.request_id, items, warnings, whole=polled.json, headers=receipt.headers)
            time.sleep(0.05)
        return receipt

    def items(self, whole: Any) -> list[str]:
        assert whole["output"]["task_status"] == "PENDING"
        return []


class Shelf:
    """Pictures at addresses of this machine, for who takes links alone. `authority`: what a gateway must be allowed to
    fetch from."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        files = self.files

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("content-length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *words: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.authority = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def put(self, content: bytes) -> str:
        path = f"/{hashlib.sha256(content).hexdigest()}"
        self.files[path] = content
        return f"http://{self.authority}{path}"


@cache
def shelf() -> Shelf:
    """One for the process; it ends with it."""
    return Shelf()


class MountSea(Tongue):
    """The task gateway's older path: one image by ratio and resolution, input images by link alone."""

    name = "mountsea"
    writes_pixels = False
    refusals: ClassVar = {
        **{name: each for name, each in UNIFIED.items() if name != "mask"},
        "model": (400, "model_not_found"),
    }

    def path(self, order: Order) -> str:
        return "/gemini/image/generate"

    def body(self, order: Order) -> Json:
        return given(
            model=order.model,
            prompt=order.prompt,
            action="edit" if order.images else "generate",
            num_images=order.n,
            image_urls=[shelf().put(picture) for picture in order.images] or None,
            aspect_ratio=ratio_of(order),
            resolution=order.tier,
            output_format=order.file_format,
            output_compression=order.quality,
        )

    def ask(self, url: str, key: str, order: Order, **headers: str) -> Told:
        receipt = super().ask(url, key, order, **headers)
        until = time.monotonic() + 60
        while receipt.status == 200 and time.monotonic() < until:
            polled = call(url + self.poll(receipt.whole), key=key)
            assert polled.status == 200
            if self.links(polled.json):
                items, warnings = tuple(self.links(polled.json)), tuple(self.warnings(polled, None))
                return Told(200, receipt.request_id, items, warnings, whole=polled.json, headers=receipt.headers)
            time.sleep(0.05)
        return receipt

    def read(self, answer: Answer) -> Told:
        """A receipt is a 201."""
        assert answer.status != 200, answer.content
        return super().read(replace(answer, status=200) if answer.status == 201 else answer)

    def poll(self, receipt: Any) -> str:
        return f"/gemini/task/result?taskId={receipt['taskId']}"

    def links(self, polled: Any) -> list[str]:
        """None as long as it is not done; it must not have ended otherwise."""
        assert polled["status"] in ("pending", "ready", "assigned", "processing", "completed"), polled
        return list(polled["result"]["imageUrls"]) if polled["status"] == "completed" else []

    def items(self, whole: Any) -> list[str]:
        assert whole.keys() == {"taskId"}
        return []

    def problem(self, whole: Any) -> tuple[str, str]:
        assert whole["statusCode"] == whole["errorCode"]
        inner = " ".join(each["code"] for each in whole["details"])
        return str(whole["error"]), f"{whole['errorMessage']} {inner}"


class MountSeaHub(MountSea):
    """Its newer paths: any number of images, by pixels too, and masks by link."""

    name = "mountsea_hub"
    writes_pixels = True
    refusals: ClassVar = {**UNIFIED, "model": (400, "model_not_found")}

    def path(self, order: Order) -> str:
        return "/hub/v1/image"

    def body(self, order: Order) -> Json:
        wished = given(
            prompt=order.prompt,
            num_images=order.n,
            image_urls=[shelf().put(picture) for picture in order.images] or None,
            mask_url=shelf().put(by_light(order.mask)) if order.mask else None,
            image_size=pixels_of(order),
            output_format=order.file_format,
            output_compression=order.quality,
        )
        return {"model": order.model, "input": wished}

    def read(self, answer: Answer) -> Told:
        return Tongue.read(self, answer)

    def poll(self, receipt: Any) -> str:
        return f"/hub/v1/tasks/{receipt['task_id']}"

    def links(self, polled: Any) -> list[str]:
        assert polled["status"] in ("pending", "processing", "completed"), polled
        assert polled["ready"] == (polled["status"] == "completed")
        return [each["url"] for each in polled["data"]["images"]] if polled["ready"] else []

    def items(self, whole: Any) -> list[str]:
        assert (whole["status"], whole["capability"]) == ("pending", "image")
        return []


TONGUES: tuple[Tongue, ...] = (
    Unified(),
    Nested(),
    Omixa(),
    Gemini(),
    Vertex(),
    Imagen(),
    Ark(),
    DashScope(),
    DashScopeTask(),
    MountSea(),
    MountSeaHub(),
)
