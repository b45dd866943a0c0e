"""Makes clients that are compiled or gathered once: all ask `/from/NAME` of the host that they are given.

Arguments: where to make them, the authority's certificate, and perhaps where clients of npm are installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

LIBRARIES = (
    "anyio",
    "certifi",
    "charset-normalizer",
    "h11",
    "httpcore",
    "httpx",
    "idna",
    "pip",
    "requests",
    "typing_extensions",
    "urllib3",
    "websockets",
)
"""Python libraries without parts that must be compiled, for whatever interpreter is inside."""

GO = """
package main
import ("fmt"; "io"; "net/http"; "os")
func main() {
    answer, err := http.Get("https://" + os.Args[1] + "/from/go")
    if err != nil { fmt.Println(err); os.Exit(1) }
    io.Copy(os.Stdout, answer.Body)
}
"""

JAVA = """
import java.net.URI;
import java.net.http.*;
class Client {
    public static void main(String[] words) throws Exception {
        var request = HttpRequest.newBuilder(URI.create("https://" + words[0] + "/from/java")).build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        System.out.println(answer.body());
    }
}
"""

RUST = """
use std::io::{Read, Write};
fn main() {
    let host = std::env::args().nth(1).unwrap();
    let mut stream = std::net::TcpStream::connect((host.as_str(), 80)).unwrap();
    write!(stream, "GET /from/rust HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n").unwrap();
    let mut answer = [0; 500];
    let length = stream.read(&mut answer).unwrap();
    println!("{}", String::from_utf8_lossy(&answer[..length]));
}
"""

C = """
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *at;
    int error = getaddrinfo(words[1], "80", &hints, &at);
    if (error) { puts(gai_strerror(error)); return 1; }
    for (; at; at = at->ai_next) {
        int s = socket(at->ai_family, SOCK_STREAM, 0);
        if (connect(s, at->ai_addr, at->ai_addrlen)) { close(s); continue; }
        char text[500];
        const char *form = "GET /from/musl HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n";
        int length = snprintf(text, sizeof text, form, words[1]);
        if (write(s, text, length) != length) return 1;
        length = read(s, text, sizeof text);
        return length <= 0 || write(1, text, length) != length;
    }
    return 1;
}
"""

SCRIPT = "console.log(await (await fetch(`https://${process.argv[2]}/from/${process.argv[3]}`)).text());"
REQUESTS = (
    "import requests, sys; print(requests.get(f'https://{sys.argv[1]}/from/requests', timeout=10).text)"
)
HTTPX = "import httpx, sys; print(httpx.get(f'https://{sys.argv[1]}/from/httpx').text)"
URLLIB = (
    "import sys, urllib.request as u; print(u.urlopen(f'https://{sys.argv[1]}/from/urllib').read().decode())"
)

SOURCES = {
    "go": ("with_go.go", GO),
    "javac": ("Client.java", JAVA),
    "rustc": ("with_rust.rs", RUST),
    "musl-gcc": ("with_musl.c", C),
}
COMPILE = {
    "go": "go build -o with_go with_go.go",
    "javac": "javac Client.java && keytool -importcert -noprompt -alias test -file ca.pem -keystore trust.p12"
    " -storetype PKCS12 -storepass changeit",
    "rustc": "rustc with_rust.rs",
    "musl-gcc": "musl-gcc -static -o with_musl with_musl.c",
}
"""Sources and commands by the compiler. Without it there is no such client."""


def make(top: Path, authority: Path, programs: Path | None) -> None:
    """Makes all clients for which the tools are here."""
    top.mkdir()
    shutil.copy(authority, top / "ca.pem")
    for name in LIBRARIES:
        for file in importlib.metadata.files(name) or ():
            # What a record names need not be there: pip's own names compiled files and their directories.
            source = Path(str(file.locate()))
            if ".." in file.parts or not source.is_file():
                continue
            target = top / "lib" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for name, text in {"requests": REQUESTS, "httpx": HTTPX, "urllib": URLLIB}.items():
        (top / f"with_{name}.py").write_text(text)
    (top / "fetch.mjs").write_text(SCRIPT)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    started: list[subprocess.Popen[bytes]] = []
    for compiler, (name, text) in SOURCES.items():
        if shutil.which(compiler) is not None:
            (top / name).write_text(text)
            started.append(subprocess.Popen(COMPILE[compiler], shell=True, cwd=top, env=environment))  # noqa: S602
    for client in ("bun", "deno"):
        if programs is not None:
            shutil.copy((programs / "node_modules" / ".bin" / client).resolve(), top / client)
    for compilation in started:
        if compilation.wait() != 0:
            raise SystemExit(f"does not compile: {compilation.args!s}")
    for path in top.iterdir():
        path.chmod(0o755)


make(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
