# The worker image: one static program, the CA certificates and the list of what is in it. Built by `cargo xtask image`.
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY sbom.cdx.json /sbom.cdx.json
COPY xprof-worker /xprof-worker
USER 65532:65532
EXPOSE 8891 9999
ENTRYPOINT ["/xprof-worker"]
