# The file that `make dist` made of a service, unpacked: what runs in a container is what runs without one.
#
#   docker build --build-arg SERVICE=ordering --build-arg RELEASE=1.2.3 --tag ticketflow/ordering:1.2.3 .
#   docker run --read-only --cap-drop ALL --env-file ordering.env --publish 8082:8080 ticketflow/ordering:1.2.3
#
# Arguments are the verbs: serve (if none is given), migrate, seed. Settings come from the environment only.

FROM python:3.11.14-slim-bookworm AS unpacked
ARG SERVICE
ARG RELEASE
COPY dist/${SERVICE}-${RELEASE}.pex /service.pex
RUN ["/usr/bin/env", "PEX_TOOLS=1", "python3", "/service.pex", "venv", "--compile", "/srv/ticketflow"]

FROM python:3.11.14-slim-bookworm
COPY --from=unpacked /srv/ticketflow /srv/ticketflow
# Whoever keeps files (mailbox, payments, dashboard) gets a volume that this account may write to.
USER 10001:10001
# It is compiled already, and its root may be read-only.
ENV HOST=0.0.0.0 PORT=8080 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 8080
STOPSIGNAL SIGTERM
# Liveness, for who restarts what is unhealthy; readiness is /health. The catalog speaks HTTP at its ADMIN_PORT only.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/srv/ticketflow/bin/python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:%s/alive' % (os.environ.get('ADMIN_PORT') or os.environ['PORT']), timeout=2)"]
ENTRYPOINT ["/srv/ticketflow/pex"]
CMD ["serve"]
