# The aggregator image: one static program and nothing else. Built by `cargo xtask image`.
FROM scratch
LABEL org.opencontainers.image.title="xprof-aggregator" org.opencontainers.image.licenses="Apache-2.0"
COPY xprof-aggregator /xprof-aggregator
USER 65532:65532
EXPOSE 10000
ENTRYPOINT ["/xprof-aggregator"]
