# The aggregator image: one static program, the CA certificates and the list of what is in it. Built by `cargo xtask image`.
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY sbom.cdx.json /sbom.cdx.json
COPY xprof-aggregator /xprof-aggregator
USER 65532:65532
EXPOSE 10000
ENTRYPOINT ["/xprof-aggregator"]
