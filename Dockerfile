# The image of channelgate: one program, a numeric user, state in one volume.
#
#     docker build -t channelgate .
#     docker run -d --name channelgate -p 8480:8480 -v channelgate:/var/lib/channelgate channelgate
#     docker cp channelgate:/var/lib/channelgate/bootstrap-token .
#
# A configuration of your own: -v ./channelgate.toml:/etc/channelgate/channelgate.toml:ro , or single keys by
# -e CHANNELGATE_<SECTION>__<KEY>=… .

FROM rust:1.95-bookworm AS build
WORKDIR /src

# The dependencies first, under empty sources: their layer changes only when the manifests do.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches tests/it tests/clients \
    && echo 'fn main() {}' \
       | tee src/main.rs benches/admit.rs tests/alloc.rs tests/it/main.rs tests/clients/main.rs > /dev/null \
    && touch src/lib.rs \
    && cargo build --release --locked --bin channelgate

COPY src src
# Copied files keep their times, which may lie before those of the empty ones.
RUN find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin channelgate \
    && mkdir /state

# The same Debian as above, so the same glibc.
FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/channelgate /usr/local/bin/channelgate
COPY config/channelgate.toml /etc/channelgate/channelgate.toml
COPY --from=build --chown=65532:65532 --chmod=0700 /state /var/lib/channelgate

ENV CHANNELGATE_DATA_DIR=/var/lib/channelgate \
    CHANNELGATE_LISTEN__ADDRESS=0.0.0.0:8480
WORKDIR /var/lib/channelgate
VOLUME /var/lib/channelgate
EXPOSE 8480
USER 65532:65532

# Asks the admin plane, which listens on 127.0.0.1:8481 inside the container.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["channelgate", "check", "--ready"]
ENTRYPOINT ["channelgate"]
CMD ["serve"]
