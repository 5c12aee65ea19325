"""Names of formats that libsndfile does not decode here, recognized by their first bytes."""

import re
from typing import NamedTuple


class Signature(NamedTuple):
    """A format: name, usual suffix, and FFmpeg's demultiplexer if the extra may use it."""

    name: str
    suffix: str
    demuxer: str | None = None


_AT_START = {
    b"#!AMR-WB\n": Signature("AMR-WB", "awb", "amr"),
    b"#!AMR\n": Signature("AMR", "amr", "amr"),
    b"#!SILK": Signature("SILK", "silk"),
    b"\x02#!SILK": Signature("SILK", "silk"),
    b"\x1a\x45\xdf\xa3": Signature("WebM or Matroska", "webm", "matroska"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": Signature("WMA (ASF)", "wma", "asf"),
    b"caff": Signature("Core Audio (CAF)", "caf", "caf"),
    b"riff\x2e\x91\xcf\x11": Signature("Wave64", "w64", "w64"),
    b"Creative Voice File": Signature("VOC", "voc"),
    b"NIST_1A": Signature("NIST SPHERE", "sph", "nistsphere"),
    b"MAC ": Signature("Monkey's Audio", "ape"),
    b"wvpk": Signature("WavPack", "wv"),
    b"FLV\x01": Signature("FLV", "flv"),
    b".RMF": Signature("RealMedia", "rm"),
    b"ADIF": Signature("AAC (ADIF)", "aac"),
    b"\x00\x00\x01\xba": Signature("MPEG program stream", "mpg"),
    b"TTA1": Signature("True Audio (TTA)", "tta"),
    b"\x0b\x77": Signature("AC-3", "ac3"),
    b"\x7f\xfe\x80\x01": Signature("DTS", "dts"),
    b"\x64\xa3": Signature("IRCAM", "sf"),
    b" paf": Signature("Ensoniq PARIS", "paf"),
    b"MThd": Signature("MIDI (notes, not sound)", "mid"),
}
_CHUNKED = {
    b"AVI ": Signature("AVI", "avi"),
    b"QLCM": Signature("QCP", "qcp"),
    b"8SVX": Signature("8SVX", "8svx"),
}
_GSM_BYTES, _GSM_MAGIC, _GSM_FRAMES = 33, 0xD, 16
_3GP_BRANDS = (b"3gp", b"3g2", b"3gr", b"3gs", b"3ge")
_MP4_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_OTHER_FILES = {
    b"PK\x03\x04": "a ZIP archive",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
}
_BASE64 = re.compile(rb"(data:[\w/+.;=-]*,)?[A-Za-z0-9+/_\r\n-]{64,}={0,2}\s*")
_UNKNOWN = (
    "its first bytes are of no known format; samples without a header are given as an array "
    "and a rate"
)
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")


def find_signature(head: bytes) -> Signature | None:
    """Return the format of a sound file that is not passed to libsndfile; None if unknown."""
    if head[4:8] == b"ftyp" or head[4:8] in _MP4_ATOMS:
        return _mp4_signature(head)
    if head[:4] in {b"RIFF", b"FORM"} and head[8:12] in _CHUNKED:
        return _CHUNKED[head[8:12]]
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return Signature("AAC (ADTS)", "aac", "aac")
    if len(head) > _GSM_FRAMES * _GSM_BYTES and all(
        head[at] >> 4 == _GSM_MAGIC for at in range(0, _GSM_FRAMES * _GSM_BYTES, _GSM_BYTES)
    ):
        return Signature("GSM 6.10 without a header", "gsm")
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return Signature("MPEG transport stream", "ts")
    return next((found for magic, found in _AT_START.items() if head.startswith(magic)), None)


def describe(head: bytes) -> str:
    """Return a description of a file that is not a known sound format."""
    for magic, name in _OTHER_FILES.items():
        if head.startswith(magic):
            return f"it is {name}"
    return _describe_text(head) if _TEXT.fullmatch(head) else _UNKNOWN


def _mp4_signature(head: bytes) -> Signature:
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "
    if brand[:3] in _3GP_BRANDS:
        return Signature("3GP (AMR or AAC)", "3gp", "mov")
    if brand[:2] == b"qt":
        return Signature("QuickTime", "mov", "mov")
    return Signature("M4A or MP4 (AAC)", "m4a", "mov")


def _describe_text(head: bytes) -> str:
    start = head.lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page: check the download"
    if start[:1] in {b"{", b"["}:
        return "it is JSON text"
    if _BASE64.fullmatch(head[:512].strip()):
        return "it is base64 text: decode it with base64.b64decode"
    return "it is text"
