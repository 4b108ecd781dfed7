# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (C) 2026 The hibctl authors
"""A disk that lies: a server for the network block device protocol that says "done" to every write, and does nothing.
Only what QEMU needs of doc/proto.md of the nbd project: fixed newstyle negotiation, simple replies, one client."""

import socket
import struct
import threading

_OPTION_MAGIC = 0x49484156454F5054  # "IHAVEOPT"
_REPLY_MAGIC = 0x3E889045565A9
_ANSWER_MAGIC = 0x67446698
_OPT_EXPORT_NAME, _OPT_ABORT, _OPT_GO = 1, 2, 7
_REP_ACK, _REP_INFO, _REP_UNSUPPORTED = 1, 3, 0x80000001
_HAS_FLAGS, _FIXED_NEWSTYLE = 1, 1
_READ, _WRITE, _DISCONNECT = 0, 1, 2


class ForgetfulServer:
    """Serves the content that a file has at the start, on a Unix socket. A context manager. Notes in "writes" what it
    was told to write: (offset, length)."""

    def __init__(self, path, address):
        self.data = path.read_bytes()
        self.writes = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(address))
        self.listener.listen(1)
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.listener.close()

    def _serve(self):
        self.client, _ = self.listener.accept()
        try:
            self._negotiate()
            while self._answer():
                pass
        except EOFError:
            pass
        finally:
            self.client.close()

    def _receive(self, n):
        data = b""
        while len(data) < n:
            part = self.client.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _negotiate(self):
        self.client.sendall(b"NBDMAGIC" + struct.pack(">QH", _OPTION_MAGIC, _FIXED_NEWSTYLE))
        self._receive(4)
        while True:
            _, option, length = struct.unpack(">QII", self._receive(16))
            self._receive(length)
            if option == _OPT_GO:
                self._reply(option, _REP_INFO, struct.pack(">HQH", 0, len(self.data), _HAS_FLAGS))
                self._reply(option, _REP_ACK)
                return
            self._reply(option, _REP_UNSUPPORTED)

    def _reply(self, option, kind, data=b""):
        self.client.sendall(struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data)

    def _answer(self):
        _, _, command, cookie, offset, length = struct.unpack(">IHHQQI", self._receive(28))
        if command == _DISCONNECT:
            return False
        answer = self.data[offset : offset + length] if command == _READ else b""
        if command == _WRITE:
            self._receive(length)
            self.writes.append((offset, length))
        self.client.sendall(struct.pack(">IIQ", _ANSWER_MAGIC, 0, cookie) + answer)
        return True
