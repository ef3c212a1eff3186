# syntax=docker/dockerfile:1
# The operator alone: a static program and the certificate authorities that it trusts. No shell, no package manager, no user database.
#
#   docker build --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) --output type=oci,dest=image.tar,rewrite-timestamp=true .
#
# gives the same digest each time, as long as the tag of the first stage names the same image; a release names it by digest.
ARG BUILDER=rust:1.95-alpine
FROM ${BUILDER} AS build
ARG SOURCE_DATE_EPOCH=0
# The commit, for the metric build_info.
ARG REVISION=unknown
# A C compiler's headers, for the cryptography; the list of certificate authorities.
RUN apk add --no-cache ca-certificates musl-dev
WORKDIR /build
COPY . .
# On Alpine the target is musl and the program static. No path of the builder stays in it, and nothing in it depends on the processor.
RUN RTOK_BUILD_REVISION="${REVISION}" \
    RUSTFLAGS="--remap-path-prefix=${CARGO_HOME}=/cargo" \
    cargo build --profile dist --locked --bin refreshable-token-operator \
 && mkdir /out \
 && cp target/dist/refreshable-token-operator /etc/ssl/certs/ca-certificates.crt /out/ \
 && touch -d "@${SOURCE_DATE_EPOCH}" /out/*

FROM scratch
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/refreshable-token-operator /refreshable-token-operator
# "nobody" of distroless images: a number, because there are no names, and because runAsNonRoot wants to see one.
USER 65532:65532
ENTRYPOINT ["/refreshable-token-operator"]
