# The worker image: one static program and nothing else. Built by `cargo xtask image`.
FROM scratch
LABEL org.opencontainers.image.title="xprof-worker" org.opencontainers.image.licenses="Apache-2.0"
COPY xprof-worker /xprof-worker
USER 65532:65532
EXPOSE 8891 9999
ENTRYPOINT ["/xprof-worker"]
