"""The credentials of Kafka in Faust's words."""

import faust

from modelyard_runtime.brokers import Security, token_provider


def credentials(security: Security) -> faust.types.auth.CredentialsT | None:
    """Return what Faust's driver passes on to aiokafka; None for an open broker.

    Faust keeps them as they are: a rotated password is used after the worker's next start.
    """
    context = security.tls_context() if security.tls else None
    if not security.sasl:
        return None if context is None else faust.SSLCredentials(context)
    if security.token_file is not None:
        return faust.auth.OAuthCredentials(oauth_cb=token_provider(security.token_file), ssl_context=context)
    return faust.SASLCredentials(
        username=security.username, password=security.secret(), ssl_context=context, mechanism=security.mechanism
    )
