"""The edge: the configuration of the nginx that speaks to strangers in front of the service.

Put here what nginx is told, made from the service's settings. Keep out how nginx is run, and what the service itself
judges: tokens, rights, rates, what a route takes.
"""

from __future__ import annotations

import ipaddress
from string import Template
from typing import TYPE_CHECKING

from mlops_assets.platform.errors import SettingsError
from mlops_assets.serving.http.edge_header import HEADER

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.platform.settings import ServiceSettings


class _Configuration(Template):
    """A text of nginx, whose own variables begin with a dollar."""

    delimiter = "@"


def edge_configuration(service: ServiceSettings, *, folder: Path, user: str | None = None) -> str:
    """What nginx is started with: ``nginx -e stderr -c FILE``.

    Args:
        service: where the edge listens, its files, the service's socket, and the limits.
        folder: where nginx keeps its process id and bodies of requests, which must exist; the system's folder for
            temporary files will do where nobody else uses it.
        user: whom the processes of an nginx are of that root starts, who must be let in to the socket; its own choice,
            or the user who starts it, when not given.

    Raises:
        SettingsError: a setting lacks that the edge needs, or cannot be written into its configuration.
    """
    needed = {"SOCKET": service.socket, "TLS_CERTIFICATE": service.tls_certificate, "TLS_KEY": service.tls_key}
    for name, value in needed.items():
        if value is None:
            raise SettingsError(
                source=f"MLOPS_ASSETS_SERVICE__{name}",
                culprit="the edge in front of the service needs it, and it is not set.",
                remedy="Set it for `mlops-assets edge-config` and for `mlops-assets serve` alike.",
            )
    values = {
        "folder": _word("the folder", str(folder.absolute())),
        "address": _address(service.host, service.port),
        "socket": _word("MLOPS_ASSETS_SERVICE__SOCKET", str(service.socket and service.socket.absolute())),
        "certificate": _word(
            "MLOPS_ASSETS_SERVICE__TLS_CERTIFICATE", str(service.tls_certificate and service.tls_certificate.absolute())
        ),
        "key": _word("MLOPS_ASSETS_SERVICE__TLS_KEY", str(service.tls_key and service.tls_key.absolute())),
        "clients": "",
        "user": "" if user is None else f"user {_word('--user', user)};\n",
        "header": HEADER,
        # One more for each client: the connection to the service.
        "connections": 2 * service.connections,
        "files": 2 * service.connections + 256,
        "connections_per_address": service.connections_per_address,
        "head": max(service.max_header_bytes // 2048, 1),
        "body": service.max_body_bytes or 1,
        "head_ms": _milliseconds(service.header_seconds),
        "body_ms": _milliseconds(service.body_seconds),
        "request_ms": _milliseconds(service.request_seconds),
        "answer_ms": _milliseconds(service.request_seconds + 5),
    }
    if service.client_ca is not None:
        authorities = _word("MLOPS_ASSETS_SERVICE__CLIENT_CA", str(service.client_ca.absolute()))
        values["clients"] = _CLIENTS.replace("@clients", authorities)
    return _Configuration(_TEXT).substitute(values)


def _milliseconds(seconds: float) -> int:
    # Nothing is what nginx takes for never.
    return max(int(seconds * 1000), 1)


def _word(source: str, text: str) -> str:
    if any(sign in text for sign in " \t\n;{}\"'\\$#"):
        raise SettingsError(
            source=source,
            culprit=f"{text!r} cannot stand in nginx's configuration.",
            remedy="Name a path without spaces, quotes, braces, semicolons, dollars, hashes and backslashes.",
        )
    return text


def _address(host: str, port: int) -> str:
    try:
        if ipaddress.ip_address(host).version == 6:  # noqa: PLR2004  IPv6
            return f"[{host}]:{port}"
    except ValueError:
        _word("MLOPS_ASSETS_SERVICE__HOST", host)
    return f"{host}:{port}"


_CLIENTS = """
    # Who shows no certificate is refused by the service, so that the refusal stands in its audit trail.
    ssl_client_certificate @clients;
    ssl_verify_client optional;
    ssl_verify_depth 3;"""

_TEXT = """\
# The edge of the REST service, made by `mlops-assets edge-config`. Start it: nginx -e stderr -c THIS-FILE
# After a certificate, key or authority was renewed, tell it so: SIGHUP to its first process. Files that do not fit each
# other are refused then, and the old ones stay; requests under way are finished.
@{user}pid @folder/nginx.pid;
# Below this level an error would be told with the request's query and the client's address.
error_log stderr alert;
worker_processes 2;
worker_rlimit_nofile @files;
# A process that a reload has replaced ends what it has under way, and leaves.
worker_shutdown_timeout @{answer_ms}ms;
# Beyond these, connections that wait for their client's next word are closed, the longest idle first: silence keeps
# nobody out.
events { worker_connections @connections; }

http {
  client_body_temp_path @folder/body;
  proxy_temp_path @folder/proxy;
  fastcgi_temp_path @folder/fastcgi;
  uwsgi_temp_path @folder/uwsgi;
  scgi_temp_path @folder/scgi;
  server_tokens off;

  # The service writes a line for each request that reaches it; here are those that did not. No address, no query.
  map $upstream_status $stopped { default 0; "" 1; "~50[24]$" 1; }
  log_format stopped escape=json '{"time":"$time_iso8601","level":"warning","logger":"edge","message":"request stopped"'
    ',"status":$status,"method":"$request_method","bytes":$request_length,"seconds":$request_time}';
  access_log /dev/stdout stopped if=$stopped;

  # A handshake and a head must be whole in this time; then each part of a body must follow the one before, and each
  # part of an answer be taken. Many clients may share an address, so its limit is wide: it keeps one from holding all.
  client_header_timeout @{head_ms}ms;
  client_body_timeout @{body_ms}ms;
  send_timeout @{request_ms}ms;
  keepalive_timeout 15s;
  keepalive_requests 10000;
  reset_timedout_connection on;
  lingering_time 5s;
  lingering_timeout 2s;
  client_header_buffer_size 1k;
  large_client_header_buffers 2 @{head}k;
  client_max_body_size @body;
  limit_conn_zone $binary_remote_addr zone=address:4m;
  limit_conn address @connections_per_address;
  limit_conn_status 429;

  map $status $title {
    default "Bad Request"; 405 "Method Not Allowed"; 413 "Content Too Large"; 414 "URI Too Long";
    429 "Too Many Requests"; 431 "Request Header Fields Too Large"; 503 "Service Unavailable";
  }
  map $status $retry_after { default ""; 429 1; 503 5; }
  map $status $allowed { default ""; 405 "GET, POST"; }

  upstream service {
    # One question at a time on each, whatever a client sends ahead.
    server unix:@socket max_fails=0;
    keepalive 128;
  }

  server {
    listen @address ssl backlog=2048;
    ssl_protocols TLSv1.3;
    ssl_certificate @certificate;
    ssl_certificate_key @key;
    # A session that is resumed would outlive the certificate it began with.
    ssl_session_tickets off;
    ssl_session_cache off;@clients

    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      # Always set here, to nothing where there is none: a client's own header of that name ends here.
      proxy_set_header @header $ssl_client_escaped_cert;
      # Bodies and answers are held here for slow clients, never on disk beyond the body's limit.
      proxy_buffers 16 16k;
      proxy_max_temp_file_size 0;
      proxy_connect_timeout 5s;
      proxy_send_timeout @{request_ms}ms;
      proxy_read_timeout @{answer_ms}ms;
      # A kept connection may be of a worker that ends. Every request of the service may be repeated.
      proxy_next_upstream error non_idempotent;
    }

    error_page 400 405 413 414 429 /stopped;
    error_page 494 =431 /stopped;
    # 501, 505: another coding of the body, another version of HTTP.
    error_page 495 496 497 501 505 =400 /stopped;
    error_page 500 502 503 504 =503 /stopped;
    location = /stopped {
      internal;
      default_type application/problem+json;
      add_header Cache-Control no-store always;
      add_header X-Content-Type-Options nosniff always;
      add_header Strict-Transport-Security "max-age=31536000" always;
      add_header Retry-After $retry_after always;
      add_header Allow $allowed always;
      add_header X-Request-ID $request_id always;
      return 200 '{"type":"about:blank","title":"$title","status":$status,"detail":"It did not get past the edge.",\
"request_id":"$request_id","errors":[]}';
    }
  }
}
"""
