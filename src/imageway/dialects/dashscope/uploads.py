"""Uploads as this provider's clients make them: a policy is asked for, then a form is posted as to an object store."""

from __future__ import annotations

from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest
from imageway.core.intents import Answer, GrantUpload, Inbound, Upload, UploadGrant
from imageway.core.steps import FormBody, FormFile
from imageway.dialects.shared.findings import Findings

PATH: Final = "/api/v1/uploads"
MIB: Final = 1024 * 1024
# The form's fields, in lower case → what a grant of ours calls them.
FIELDS: Final = {"policy": "policy", "signature": "signature", "ossaccesskeyid": "key"}


def read_grant(inbound: Inbound) -> GrantUpload:
    findings, query = Findings(), inbound.query
    if query.get("action") != "getPolicy":
        findings.wrong("action", query.get("action"), ("getPolicy",))
    if not query.get("model", "").strip():
        findings.missing("model", "model is missing: name the model that is to see the file")
    if findings.problems:
        raise InvalidRequest(*findings.problems)
    return GrantUpload(query["model"])


def read_upload(inbound: Inbound) -> Upload:
    """Field names in any case, the last of each; what a form must have is checked by its signature."""
    findings = Findings()
    parts = inbound.body.parts if isinstance(inbound.body, FormBody) else ()
    texts = {name.lower(): value for name, value in parts if isinstance(value, str)}
    files = [value for name, value in parts if isinstance(value, FormFile) and name.lower() == "file"]
    if not texts.get("key"):
        findings.missing("key", "key is missing: it names the file within the folder that was granted")
    if len(files) != 1:
        findings.problem(
            "invalid_value", "file", f"the form has {len(files)} files; send multipart/form-data with one, as file"
        )
    if findings.problems:
        raise InvalidRequest(*findings.problems)
    fields = {ours: texts[theirs] for theirs, ours in FIELDS.items() if theirs in texts}
    return Upload(texts["key"], fields, files[0].blob)


def granted(grant: UploadGrant) -> Answer:
    data: dict[str, Tree] = {
        "policy": grant.fields["policy"],
        "signature": grant.fields["signature"],
        "upload_dir": grant.folder,
        "upload_host": grant.url + PATH,
        "expire_in_seconds": grant.expires_s,
        "max_file_size_mb": grant.max_bytes // MIB,
        "capacity_limit_mb": grant.capacity_bytes // MIB,
        "oss_access_key_id": grant.fields["key"],
        "x_oss_object_acl": "private",
        "x_oss_forbid_overwrite": "true",
    }
    return Answer(200, {"data": data}, id_key="request_id")
