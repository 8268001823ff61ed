"""Incremental DCA parser: cuts a file that arrives in pieces into frames. Pure: bytes in, frames out.

`common.dca` reads whole file objects. Of skipped frames only the lengths are read here: a seek in a song of three hours
takes a fraction of a second.
"""

from __future__ import annotations

import struct

from common.dca import MAGIC, MAX_FRAME_BYTES, MAX_METADATA_BYTES, DcaError

_INT32 = struct.Struct("<i")
_HEADER_BYTES = len(MAGIC) + _INT32.size
_LENGTH_BYTES = 2


class FrameCutter:
    """Frames of one DCA1 or DCA0 file, from frame `skip` on.

    Attributes:
        frames: number of frames parsed so far, including skipped ones.

    Raises:
        DcaError: by `feed` and `end`, at the first invalid byte; the frames before it have been returned.
    """

    def __init__(self, skip: int = 0) -> None:
        self.frames = 0
        self._skip = skip
        self._rest = b""
        self._offset = 0
        self._in_header = True
        self._damage: DcaError | None = None

    def feed(self, piece: bytes) -> list[bytes]:
        """Parse the next bytes of the file; return the frames that they complete."""
        if self._damage is not None:
            raise self._damage
        data = self._rest + piece if self._rest else piece
        position = 0
        if self._in_header:
            position = self._pass_header(data)
            if self._in_header:
                self._rest = data
                return []
        if self.frames < self._skip:
            position = self._pass_frames(data, position)
        frames: list[bytes] = []
        if self.frames >= self._skip:
            position = self._cut(data, position, frames)
            self.frames += len(frames)
        self._rest = data[position:]
        self._offset += position
        return frames

    def end(self) -> None:
        """Signal the end of the file. Raises DcaError inside the header or a frame."""
        if self._damage is not None:
            raise self._damage
        if self._rest or self._in_header:
            raise DcaError(
                "the file ends in its header" if self._in_header else "the file ends in a frame", self._offset
            )

    def _pass_header(self, data: bytes) -> int:
        """Return the offset of the first frame; `_in_header` stays true while the header is incomplete."""
        if len(data) < len(MAGIC):
            return 0
        if not data.startswith(MAGIC):
            self._in_header = False
            return 0
        if len(data) < _HEADER_BYTES:
            return 0
        length = _INT32.unpack_from(data, len(MAGIC))[0]
        if not 0 < length <= MAX_METADATA_BYTES:
            raise DcaError(f"metadata length {length}", len(MAGIC))
        begin = _HEADER_BYTES + length
        self._in_header = len(data) < begin
        return begin

    def _pass_frames(self, data: bytes, position: int) -> int:
        left, end = self._skip - self.frames, len(data)
        last = end - _LENGTH_BYTES
        while left and position <= last:
            length = data[position] | data[position + 1] << 8
            after = position + _LENGTH_BYTES + length
            if not 0 < length <= MAX_FRAME_BYTES:
                raise DcaError(f"frame length {length}", self._offset + position)
            if after > end:
                break
            position = after
            left -= 1
        self.frames = self._skip - left
        return position

    def _cut(self, data: bytes, position: int, frames: list[bytes]) -> int:
        end = len(data)
        last = end - _LENGTH_BYTES
        while position <= last:
            length = data[position] | data[position + 1] << 8
            begin = position + _LENGTH_BYTES
            after = begin + length
            if not 0 < length <= MAX_FRAME_BYTES:
                self._damage = DcaError(f"frame length {length}", self._offset + position)
                break
            if after > end:
                break
            frames.append(data[begin:after])
            position = after
        return position
