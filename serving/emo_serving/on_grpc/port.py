"""The port of the gRPC service, reserved before the workers are forked.

grpcio can't listen on a socket that is passed on, and must not be in use when a process forks.
"""

import socket


def reserve_port(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for the servers of this process or of its workers.

    They listen on it themselves, and the system distributes the connections.

    Raises OSError if the port is used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as probe:
        port = probe.getsockname()[1]
    reserved = socket.socket(family)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError:
        reserved.close()
        raise
    return reserved
