"""What may stand at byte 0, and what may not: generated files of many kinds."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from pathlib import Path

import pytest

from audio_service.audio.contents import Contents, describe, identify, name_of
from audio_service.audio.mp3 import ID3_HEADER_BYTES, id3_end
from tests.servers.media_files import make

PORTABLE = (
    b"MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff\0\0\xb8" + b"\0" * 43 + struct.pack("<I", 0x80) + b"\0" * 64 + b"PE\0\0d\x86"
)
MP3_FRAME = b"\xff\xfb\x90\x00" + b"\0" * 413
ADTS_FRAME = b"\xff\xf1\x50\x80\x02\x1f\xfc" + b"\0" * 9
SCRIPT = b"<script>alert(1)</script>"


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def tagged(payload: bytes, behind: bytes) -> bytes:
    size = len(payload)
    return b"ID3\x03\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + payload + behind


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "x")
    return out.getvalue()


def looked_at(data: bytes) -> Contents | None:
    tag = id3_end(data[:ID3_HEADER_BYTES])
    return identify(data[:2048], data[tag : tag + 2048] if tag else b"")


def ebml(kind: bytes) -> bytes:
    return b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82" + bytes((0x80 | len(kind),)) + kind


ALLOWED: dict[str, tuple[bytes, str]] = {
    "mp3": (MP3_FRAME * 4, "mp3"),
    "a short mp3": (MP3_FRAME, "mp3"),
    "mp3 with a tag": (tagged(b"TIT2" + b"\0" * 300, MP3_FRAME * 4), "mp3"),
    "mp3 with a picture of a megabyte": (tagged(b"APIC" + b"\0" * 1_000_000, MP3_FRAME * 4), "mp3"),
    "adts": (ADTS_FRAME * 4, "aac"),
    "adts with a tag": (tagged(b"PRIV" + b"\0" * 60, ADTS_FRAME * 4), "aac"),
    "flac": (b"fLaC\0\0\0\x22" + b"\0" * 34, "flac"),
    "flac with a tag": (tagged(b"TIT2" + b"\0" * 30, b"fLaC\0\0\0\x22"), "flac"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt ", "wav"),
    "rf64": (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
    "aiff": (b"FORM\0\0\0\x2eAIFFCOMM", "aiff"),
    "aifc": (b"FORM\0\0\0\x2eAIFCFVER", "aiff"),
    "ogg": (b"OggS\0\2" + b"\0" * 20, "ogg"),
    "caf": (b"caff\0\1\0\0desc", "caf"),
    "amr": (b"#!AMR\n\x3c" + b"\0" * 31, "amr"),
    "amr wide band": (b"#!AMR-WB\n\x04" + b"\0" * 31, "amr"),
    "webm": (ebml(b"webm"), "webm"),
    "matroska": (ebml(b"matroska"), "webm"),
    **{
        f"mp4 {brand.decode()}": (box(b"ftyp", brand + b"\0\0\2\0" + brand) + box(b"free", b""), "mp4")
        for brand in (b"M4A ", b"isom", b"mp42", b"qt  ", b"3gp4", b"3g2a", b"iso6", b"dash")
    },
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "portable executable": (PORTABLE, "executable"),
    "elf": (b"\x7fELF\2\1\1" + b"\0" * 200, "executable"),
    "mach-o": (b"\xcf\xfa\xed\xfe" + b"\0" * 100, "executable"),
    "java class": (b"\xca\xfe\xba\xbe\0\0\0\x37", "executable"),
    "webassembly": (b"\0asm\1\0\0\0", "executable"),
    "shell": (b"#!/bin/sh\nrm -rf /\n", "script"),
    "python": (b"#!/usr/bin/env python\n", "script"),
    "php": (b"<?php system($_GET[0]); ?>", "script"),
    "php, short": (b"<?= `id` ?>", "script"),
    "batch": (b"@echo off\r\n", "script"),
    "html": (b"<!DOCTYPE html><html>" + SCRIPT, "markup"),
    "html behind white space and a comment": (b"\n\n  <!-- x --><body onload=alert(1)>", "markup"),
    "html behind a byte order mark": (b"\xef\xbb\xbf<html>", "markup"),
    "svg": (b'<?xml version="1.0"?><svg>' + SCRIPT + b"</svg>", "markup"),
    "asx": (b'<asx version="3.0"><entry><ref href="http://169.254.169.254/"/></entry></asx>', "playlist"),
    "m3u8": (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "playlist"),
    "ffconcat": (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
    "pls": (b"[playlist]\nFile1=/etc/passwd\n", "playlist"),
    "zip": (zipped(), "archive"),
    "gzip": (b"\x1f\x8b\x08" + b"\0" * 20, "archive"),
    "rar": (b"Rar!\x1a\x07\1\0", "archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c", "archive"),
    "pdf": (b"%PDF-1.7\n", "document"),
    "office": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "document"),
    "png": (b"\x89PNG\r\n\x1a\n", "image"),
    "gif that is php": (b"GIF89a;\n<?php ?>", "image"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", "image"),
    "heic": (box(b"ftyp", b"heic\0\0\0\0mif1heic"), "unknown"),
    "avif": (box(b"ftyp", b"avif\0\0\0\0"), "unknown"),
    "text": (b"hola que tal\n" * 20, "unknown"),
    "zeros": (b"\0" * 3000, "unknown"),
    "another ebml": (ebml(b"matryoshka"), "unknown"),
    "avi": (b"RIFF\x24\0\0\0AVI LIST", "unknown"),
    "8svx": (b"FORM\0\0\0\x2e8SVXVHDR", "unknown"),
    "mpeg-ts": (b"G@\x11\x10\0" + b"\xff" * 183, "unknown"),
    "asf": (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "unknown"),
    "a sync word that leads nowhere": (b"\xff\xfb\x90\x00" + b"\1" * 2000, "unknown"),
    "mp3 behind an executable": (PORTABLE + MP3_FRAME * 9, "executable"),
    "mp3 behind html": (b"<html>" + SCRIPT + b" " * 2100 + MP3_FRAME * 9, "markup"),
    "mp3 behind a zip": (zipped() + MP3_FRAME * 9, "archive"),
    "mp3 behind svg": (b"<svg>" + MP3_FRAME * 9, "markup"),
    "an executable behind a tag": (tagged(b"TIT2" + b"\0" * 30, PORTABLE), "unknown"),
    "html behind a tag": (tagged(b"TIT2" + b"\0" * 30, b"<html>" + SCRIPT), "unknown"),
    "a wav behind a tag": (tagged(b"TIT2" + b"\0" * 30, b"RIFF\x24\0\0\0WAVEfmt "), "unknown"),
    "a tag that never ends": (b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + b"\0" * 100, "unknown"),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_begins_like_sound_is_allowed(name: str) -> None:
    data, family = ALLOWED[name]
    found = looked_at(data)
    assert found is not None
    assert found.family == family
    assert found.demuxer == {"mp4": "mov", "webm": "matroska"}.get(family, family)


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_refused_and_named(name: str) -> None:
    data, called = REFUSED[name]
    assert looked_at(data) is None
    assert name_of(data[:2048]) == called


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        *(("webm_opus", "webm"), ("ogg_opus", "ogg"), ("m4a", "mp4"), ("fmp4", "mp4")),
        *(("mp3", "mp3"), ("flac", "flac"), ("wav", "wav"), ("aac", "aac")),
    ],
)
def test_real_files_are_what_they_are(tmp_path: Path, kind: str, family: str) -> None:
    found = looked_at(make(kind, tmp_path, seconds=1).read_bytes())
    assert found is not None
    assert found.family == family


def test_the_corpus_is_large_enough() -> None:
    assert len(ALLOWED) + len(REFUSED) >= 60


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(60), "ELF 64-bit"),
        (b"PK\x03\x04\x14" + bytes(60), "Zip archive"),
        (b"<html><script>", "HTML document"),
        (b"", "empty"),
    ],
)
def test_a_refused_file_is_described_in_the_words_of_libmagic(head: bytes, words: str) -> None:
    pytest.importorskip("magic", reason="libmagic is not installed", exc_type=ImportError)
    assert words in describe(head)


def test_without_libmagic_it_has_our_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "magic", None)
    assert describe(b"%PDF-1.4") == "document"
