"""Real JARs from Maven Central: each is fetched once, by name and version, with Maven itself."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from tests.oracle.cache import cache_directory, locked
from tests.requirements import require_tool

# group:artifact:version[:type:classifier], and the member that this machine's Java would take.
JARS = {
    "net.java.dev.jna:jna:5.14.0": "com/sun/jna/linux-x86-64/libjnidispatch.so",
    "io.netty:netty-transport-native-epoll:4.1.115.Final:jar:linux-x86_64": (
        "META-INF/native/libnetty_transport_native_epoll_x86_64.so"
    ),
    "io.netty:netty-tcnative-boringssl-static:2.0.69.Final:jar:linux-x86_64": (
        "META-INF/native/libnetty_tcnative_linux_x86_64.so"
    ),
    "org.xerial.snappy:snappy-java:1.1.10.5": "org/xerial/snappy/native/Linux/x86_64/libsnappyjava.so",
    "org.xerial:sqlite-jdbc:3.47.1.0": "org/sqlite/native/Linux/x86_64/libsqlitejdbc.so",
    "org.lz4:lz4-java:1.8.0": "net/jpountz/util/linux/amd64/liblz4-java.so",
    "com.github.luben:zstd-jni:1.5.6-8": "linux/amd64/libzstd-jni-1.5.6-8.so",
    "com.github.jnr:jffi:1.3.13:jar:native": "jni/x86_64-Linux/libjffi-1.2.so",
    "org.fusesource.jansi:jansi:2.4.1": "org/fusesource/jansi/internal/native/Linux/x86_64/libjansi.so",
    "org.conscrypt:conscrypt-openjdk-uber:2.5.2": (
        "META-INF/native/libconscrypt_openjdk_jni-linux-x86_64.so"
    ),
    "com.aayushatharva.brotli4j:native-linux-x86_64:1.17.0": "lib/linux-x86_64/libbrotli.so",
    "org.fusesource.leveldbjni:leveldbjni-all:1.8": "META-INF/native/linux64/libleveldbjni.so",
    "org.jline:jline-native:3.27.1": "org/jline/nativ/Linux/x86_64/libjlinenative.so",
}
MUSL_MEMBERS = {
    "org.xerial:sqlite-jdbc:3.47.1.0": "org/sqlite/native/Linux-Musl/x86_64/libsqlitejdbc.so",
}


@cache
def jar(artifact: str) -> Path:
    """The file of one artifact."""
    repository = cache_directory() / "maven"
    group, name, version, *rest = artifact.split(":")
    classifier = f"-{rest[1]}" if rest else ""
    final = repository.joinpath(*group.split("."), name, version, f"{name}-{version}{classifier}.jar")
    with locked(repository):  # Maven's own repositories are for one process at a time
        if not final.exists():
            command = [require_tool("mvn", "maven"), "--quiet", "--batch-mode"]
            command += [f"-Dmaven.repo.local={repository}", "dependency:get", "-Dtransitive=false"]
            subprocess.run([*command, f"-Dartifact={artifact}"], check=True, capture_output=True)
    return final
