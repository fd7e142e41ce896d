"""What the large images hold, by the names and versions under which Debian, PyPI and npm have it."""

from __future__ import annotations

SERVERS = (
    "python3-scipy", "python3-pandas", "python3-matplotlib", "python3-lxml", "python3-pil",
    "python3-cryptography", "python3-psycopg2", "python3-gi", "python3-h5py", "nginx-extras", "apache2",
    "libapache2-mod-php", "libapache2-mod-wsgi-py3", "libapache2-mod-perl2", "libapache2-mod-security2",
    "postgresql", "postgresql-contrib", "postgresql-plpython3-15", "postgresql-plperl-15",
    "postgresql-pltcl-15", "nodejs", "node-sqlite3", "node-iconv", "ruby", "ruby-nokogiri", "ruby-bcrypt",
    "ruby-ffi", "ruby-sqlite3", "ruby-pg", "ruby-mysql2", "ruby-redcarpet", "libxml-libxml-perl",
    "libdbd-pg-perl", "libdbd-mysql-perl", "libdbd-sqlite3-perl", "libnet-ssleay-perl", "libjson-xs-perl",
    "libgd-perl", "php-fpm", "php-cli", "php-gd", "php-curl", "php-intl", "php-mbstring", "php-xml",
    "php-pgsql", "php-mysql", "php-redis", "php-imagick", "php-zip", "php-bcmath", "php-soap", "php-ldap",
    "samba", "winbind", "git", "openssh-server", "systemd", "rsyslog", "redis-server", "haproxy", "postfix",
    "bind9", "squid", "varnish", "uwsgi-core", "uwsgi-plugin-python3", "lighttpd", "collectd-core", "snmpd",
    "mariadb-server", "slapd", "dovecot-imapd", "freeradius", "memcached",
)  # fmt: skip
DESKTOP = (
    "default-jdk", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly", "gstreamer1.0-libav", "gstreamer1.0-tools", "libreoffice-core",
    "libreoffice-writer", "ffmpeg", "imagemagick", "qemu-user", "qemu-user-static", "docker.io",
    "caddy", "gcc-aarch64-linux-gnu", "g++-arm-linux-gnueabihf", "libc6-i386", "lib32stdc++6",
    "wine64", "musl-tools", "gdb", "valgrind", "xserver-xorg-core", "cups", "pipewire", "guile-3.0",
    "emacs-nox", "octave", "ocaml-nox", "llvm",
)  # fmt: skip
NEWER = (
    "python3-scipy", "python3-matplotlib", "python3-lxml", "python3-pil", "python3-cryptography",
    "python3-psycopg2", "nginx-extras", "apache2", "libapache2-mod-php", "libapache2-mod-perl2",
    "postgresql", "postgresql-plpython3-17", "postgresql-plperl-17", "default-jdk-headless", "nodejs",
    "ruby", "ruby-nokogiri", "ruby-pg", "libxml-libxml-perl", "libdbd-pg-perl", "libnet-ssleay-perl",
    "php-fpm", "php-cli", "php-gd", "php-curl", "php-intl", "php-mbstring", "php-xml", "php-pgsql",
    "php-mysql", "php-redis", "php-imagick", "samba", "git", "openssh-server", "systemd",
    "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly", "gstreamer1.0-libav", "gstreamer1.0-tools", "libreoffice-core", "ffmpeg",
    "imagemagick", "docker.io", "caddy",
)  # fmt: skip

WHEEL_TAGS = {
    "glibc": tuple(f"manylinux{tag}_x86_64" for tag in ("2014", "_2_17", "_2_26", "_2_27", "_2_28", "_2_34")),
    "musl": ("musllinux_1_1_x86_64", "musllinux_1_2_x86_64"),
}
WHEELS = (
    "aiohttp==3.14.5", "bcrypt==5.0.0", "cffi==2.1.1", "cryptography==50.0.2", "duckdb==2.0.0",
    "fiona==1.10.1", "gevent==26.9.0", "greenlet==3.5.6", "grpcio==1.85.1", "h5py==3.16.0",
    "httptools==0.9.0", "lxml==6.1.3", "lz4==4.4.5", "matplotlib==3.11.2", "msgpack==1.2.4", "numpy==2.4.6",
    "onnxruntime==1.32.0", "opencv-python-headless==5.0.0.93", "orjson==3.13.0", "pandas==3.1.1",
    "pillow==13.0.0", "polars-runtime-32==2.1.0", "protobuf==7.36.2", "psycopg2-binary==2.9.13",
    "psycopg-binary==3.3.9", "pyarrow==26.0.1", "pydantic-core==2.50.4", "pymupdf==2.0", "pynacl==1.6.2",
    "pyproj==3.7.2", "pyzmq==27.3.0", "rasterio==1.4.4", "regex==2026.11.15", "rpds-py==2026.9.1",
    "safetensors==0.8.0", "scikit-learn==1.9.1", "scipy==1.17.1", "shapely==2.2.0", "sqlalchemy==2.1.9",
    "tiktoken==0.14.0", "tokenizers==0.23.3", "ujson==6.1.0", "uvloop==0.23.0", "watchfiles==1.3.0",
    "xgboost==3.2.0", "zstandard==0.25.0",
)  # fmt: skip
MUSL_WHEELS = (
    "aiohttp==3.14.5", "bcrypt==5.0.0", "cffi==2.1.1", "cryptography==50.0.2", "gevent==26.9.0",
    "greenlet==3.5.6", "grpcio==1.85.1", "httptools==0.9.0", "lxml==6.1.3", "matplotlib==3.11.2",
    "msgpack==1.2.4", "numpy==2.4.6", "orjson==3.13.0", "pandas==3.1.1", "pillow==13.0.0",
    "polars-runtime-32==2.1.0", "psycopg2-binary==2.9.13", "psycopg-binary==3.3.9", "pydantic-core==2.50.4",
    "pymupdf==1.28.2", "pynacl==1.6.2", "pyproj==3.7.2", "pyzmq==27.3.0", "regex==2026.11.15",
    "rpds-py==2026.9.1", "safetensors==0.8.0", "scipy==1.17.1", "shapely==2.2.0", "sqlalchemy==2.1.9",
    "tiktoken==0.14.0", "tokenizers==0.23.3", "ujson==6.1.0", "uvloop==0.23.0", "watchfiles==1.3.0",
    "zstandard==0.25.0",
)  # fmt: skip

ADDONS = (
    "sharp@0.35.5", "@swc/core@1.16.22", "esbuild@0.28.2", "lightningcss@1.33.0", "rollup@4.68.5",
    "@parcel/watcher@2.6.0", "sass-embedded@1.108.2", "bcrypt@6.0.0", "argon2@0.45.1", "bufferutil@4.1.0",
    "utf-8-validate@6.0.6", "classic-level@3.0.0", "leveldown@6.1.1", "msgpackr-extract@3.0.7",
    "snappy@7.4.3", "onnxruntime-node@1.30.0", "@node-rs/argon2@2.2.1", "@node-rs/bcrypt@2.0.0",
    "@napi-rs/canvas@1.1.1", "@tailwindcss/oxide@4.3.5", "lmdb@3.5.6", "node-pty@1.1.0",
    "@serialport/bindings-cpp@13.0.1", "sodium-native@5.1.0", "rolldown@1.3.2", "@resvg/resvg-js@2.6.2",
    "@duckdb/node-api@1.5.6-r.1", "zeromq@6.8.0", "usb@3.1.0", "@datadog/pprof@5.20.0", "turbo@2.11.11",
    "@biomejs/biome@2.6.8", "@ast-grep/napi@0.51.1", "farmhash@5.0.1", "@sentry/profiling-node@11.1.0",
    "secp256k1@5.0.2", "bigint-buffer@1.1.5", "xxhash-addon@2.1.0",
)  # fmt: skip
ADDONS_FOR_GLIBC = ("@libsql/linux-x64-gnu@0.5.29",)
ADDONS_FOR_MUSL = ("@oven/bun-linux-x64-musl@1.4.4", "@libsql/linux-x64-musl@0.5.29")
