"""The servers of the world, in a network namespace of their own; what they hear is logged.

Arguments: `outside` or `machine`, the log's path, and the directory with keys and what is served.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import ssl
import struct
import sys
import threading
from pathlib import Path
from typing import cast

import asyncssh
import forge
from websockets.asyncio.server import ServerConnection, serve

ADDRESSES = {
    "allowed.test": ("93.184.216.34", "2606:2800:220:1::34"),
    "v4only.test": ("93.184.216.34", None),
    "denied.test": ("93.184.216.35", None),
    "other.test": ("93.184.216.34", None),
    "hidden.test": ("93.184.216.35", None),
    "loopback.test": ("127.0.0.1", None),
    "metadata.test": ("169.254.169.254", None),
    "private.test": ("10.9.9.9", None),
    "machine.test": ("93.184.216.1", None),
}
ALIASES = {"alias.test": "hidden.test"}
ANY = "0.0.0.0"  # noqa: S104 - a namespace of its own
FLIP = ("93.184.216.34", "127.0.0.1")
"""What a name below `flip.test` stands for, at the first query and afterwards."""

role = sys.argv[1]
log = Path(sys.argv[2]).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115 - it lives as long as the program
base = Path(sys.argv[3])
flipped: set[str] = set()
told: dict[str, asyncio.Event] = {}


def note(service: str, **what: object) -> None:
    """Writes one line."""
    log.write(json.dumps({"service": service, **what}) + "\n")


def answer(query: bytes) -> bytes:
    """Answers a DNS query (RFC 1035) from the table."""
    labels: list[str] = []
    at = 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
        at += query[at] + 1
    name = ".".join(labels).lower()
    (kind,) = struct.unpack(">H", query[at + 1 : at + 3])
    note("dns", name=name, kind=kind)
    question, records = query[12 : at + 5], b""
    count, owner, ttl = 0, b"\xc0\x0c", 60
    if name in ALIASES:
        target = b"".join(bytes([len(part)]) + part.encode() for part in ALIASES[name].split(".")) + b"\0"
        records += owner + struct.pack(">HHIH", 5, 1, ttl, len(target)) + target
        count, owner, name = 1, target, ALIASES[name]
    addresses = ADDRESSES.get(name)
    if name.endswith(".flip.test"):
        addresses, ttl = (FLIP[name in flipped], None), 0
        if kind == 1:
            flipped.add(name)
    if addresses and addresses[0] and kind == 1:
        data = bytes(int(part) for part in addresses[0].split("."))
        records += owner + struct.pack(">HHIH", 1, 1, ttl, 4) + data
        count += 1
    if addresses and addresses[1] and kind == 28:
        import ipaddress

        data = ipaddress.IPv6Address(addresses[1]).packed
        records += owner + struct.pack(">HHIH", 28, 1, ttl, 16) + data
        count += 1
    code = 0 if addresses else 3
    return query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0) + question + records


class Resolver(asyncio.DatagramProtocol):
    """The upstream resolver."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps where to answer."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answers."""
        self.transport.sendto(answer(data), addr)


class Datagrams(asyncio.DatagramProtocol):
    """Notes what arrives."""

    def __init__(self, port: int) -> None:
        self.port = port

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Notes it."""
        note("udp", port=self.port, data=data[:64].hex())


async def dns_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """DNS by TCP."""
    try:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
        reply = answer(await reader.readexactly(length))
        writer.write(struct.pack(">H", len(reply)) + reply)
        await writer.drain()
    except asyncio.IncompleteReadError:
        pass
    writer.close()


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP/1.1 with kept connections; `/events/KEY` streams, `/redirect` leads away, `/size/N` is long."""
    tls = writer.get_extra_info("ssl_object")
    service = "https" if tls else "http" if role == "outside" else role
    note("connect", service_of=service, name=getattr(tls, "sni", None))
    try:
        while line := await reader.readline():
            headers: list[tuple[str, str]] = []
            while (raw := await reader.readline()) not in (b"\r\n", b"\n", b""):
                key, _, value = raw.decode("latin-1").partition(":")
                headers.append((key.strip().lower(), value.strip()))
            fields = dict(headers)
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            method, _, rest = line.decode("latin-1").strip().partition(" ")
            path = rest.partition(" ")[0]
            note(
                service,
                method=method,
                path=path,
                host=fields.get("host", ""),
                headers=headers,
                body=body[:200].decode("latin-1"),
                length=len(body),
            )
            if path.startswith("/events/"):
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n"
                )
                for number in range(2):
                    event = f"data: {number}\n\n".encode()
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                    await writer.drain()
                    # The second comes only when the client has told of the first by another connection.
                    if number == 0:
                        await told.setdefault(path.removeprefix("/events/"), asyncio.Event()).wait()
                writer.write(b"0\r\n\r\n")
            elif path.startswith("/told/"):
                told.setdefault(path.removeprefix("/told/"), asyncio.Event()).set()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            elif path == "/redirect":
                writer.write(
                    b"HTTP/1.1 302 Found\r\nLocation: http://denied.test/stolen\r\nContent-Length: 0\r\n\r\n"
                )
            elif path.startswith("/size/"):
                size = int(path.removeprefix("/size/"))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for _ in range(0, size, 65536):
                    writer.write(b"x" * min(65536, size))
                    await writer.drain()
            elif served := await forge.serve(base / "forge", method, path, fields, body):
                writer.write(served)
            else:
                text = f"{method} {path} at {fields.get('host', '')}".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass
    writer.close()


async def echo_frames(connection: ServerConnection) -> None:
    """A WebSocket that repeats what it hears."""
    async for message in connection:
        note("websocket", message=str(message))
        await connection.send(f"you said {message!s}")


def shell(process: asyncssh.SSHServerProcess[str]) -> None:
    """What runs a command that came by SSH: nothing but an answer."""
    note("ssh", command=process.command)
    process.stdout.write(f"ran {process.command}\n")
    process.exit(0)


def discard(listener: socket.socket) -> None:
    """Takes connections and ends them, as quickly as they come."""
    while True:
        listener.accept()[0].close()


async def talks_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greets as mail servers do, then repeats what it hears."""
    try:
        writer.write(b"220 mail.test ready\r\n")
        await writer.drain()
        while line := await reader.readline():
            note("smtp", line=line.decode("latin-1").strip())
            writer.write(b"250 " + line)
            await writer.drain()
    except ConnectionError:
        pass
    note("smtp", line=None)
    writer.close()


def named(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    """Keeps the server name that the client asked for."""
    note("greeting", name=name)
    connection.sni = name  # type: ignore[attr-defined]


async def outside() -> None:
    """Starts what is reached from the machine."""
    # Thousands of connections are one of the tests.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(base / "server.pem")
    context.sni_callback = named  # type: ignore[assignment]
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Resolver, local_addr=("93.184.216.53", 53))
    for port in (443, 9999):
        await loop.create_datagram_endpoint(lambda port=port: Datagrams(port), local_addr=(ANY, port))
    for host in (ANY, "::"):
        await asyncio.start_server(dns_stream, host, 53)
        await asyncio.start_server(http, host, 80, limit=1 << 20, backlog=4096)
        await asyncio.start_server(http, host, 8080, limit=1 << 20)
        await asyncio.start_server(http, host, 443, ssl=context, limit=1 << 20)
        await asyncio.start_server(talks_first, host, 25)
    listener = socket.create_server((ANY, 9), backlog=4096)
    threading.Thread(target=discard, args=(listener,), daemon=True).start()
    await serve(echo_frames, ANY, 8443, ssl=context)
    await asyncssh.listen(
        ANY,
        22,
        server_host_keys=[str(base / "host-key")],
        authorized_client_keys=str(base / "client-key.pub"),
        process_factory=shell,
    )


async def main() -> None:
    """Serves until it is ended."""
    if role == "outside":
        await outside()
    else:
        for host in ("127.0.0.1", "::1", "93.184.216.1"):
            await asyncio.start_server(http, host, 80)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
