# docker build -t trunkline . && docker run -v trunkline:/var/lib/trunkline -v ./trunkline.toml:/etc/trunkline/trunkline.toml:ro trunkline
FROM rust:1.90-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/trunkline --shell /usr/sbin/nologin trunkline \
    && install -d -m 0700 -o trunkline -g trunkline /var/lib/trunkline
COPY --from=build /src/target/release/trunkline /usr/local/bin/trunkline
USER 10001
ENV STATE_DIRECTORY=/var/lib/trunkline
VOLUME /var/lib/trunkline
# Inside a container loopback reaches nobody: publish these ports to loopback or to a TLS-terminating proxy only.
ENV TRUNKLINE__HTTP__LISTEN=0.0.0.0:8000 TRUNKLINE__HTTP__METRICS_LISTEN=0.0.0.0:9464
EXPOSE 8000 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["trunkline"]
CMD ["run", "--config", "/etc/trunkline/trunkline.toml"]
