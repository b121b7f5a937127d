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

# build/release needs llvm-profdata, of the same LLVM as this compiler.
RUN rustup component add llvm-tools

# The dependencies first, under an empty source: they are downloaded again only when the manifests change. They are built with the program, for
# the profile that guides the build is theirs, too.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/lib.rs && cargo fetch --locked

COPY build build
COPY src src
RUN build/release && mkdir /state

# The same Debian as above, so the same glibc.
FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/shipped/channelgate /usr/local/bin/channelgate
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
