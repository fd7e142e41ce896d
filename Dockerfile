# A small image that runs imagescan: docker run --rm -v "$PWD:/work" imagescan oci:image-layout
# To reach an engine, mount its socket and add its group: -v /run/docker.sock:/run/docker.sock
# --group-add "$(stat -c %g /run/docker.sock)". The base is glibc, as some of the libraries are
# built only for it.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md ./
COPY imagescan ./imagescan
COPY rules ./rules
RUN python -m venv /opt/imagescan \
 && /opt/imagescan/bin/pip install --no-cache-dir --disable-pip-version-check '.[engine,rules]' \
 && /opt/imagescan/bin/pip uninstall --yes pip

FROM python:3.13-slim
COPY --from=build /opt/imagescan /opt/imagescan
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin imagescan
ENV PATH=/opt/imagescan/bin:$PATH
USER 10001
WORKDIR /work
ENTRYPOINT ["imagescan"]
CMD ["--help"]
