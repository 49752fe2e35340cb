"""What stands for a Python of our own that the program starts: `warm_server` forks, and this ends as the fork does.

Run as ``python -I -S warm_client.py SOCKET -c CODE WORDS...``. It imports next to nothing: starting it is
all that it costs. Where the server does not answer, it becomes the Python that was asked for.
"""

import _socket
import posix
import sys


def main() -> None:
    """Hand over what this process has: words, environment, folder, umask and descriptors."""
    umask = posix.umask(0o077)
    posix.umask(umask)
    fds = [0, 1, 2]
    try:
        posix.fstat(3)
        fds.append(3)
    except OSError:
        pass
    line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    argv = [sys.executable, *sys.argv[2:]]
    order = repr((argv, posix.environ, posix.getcwdb(), umask, posix.getpid(), posix.getppid()))
    rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
    try:
        line.connect(sys.argv[1])
        line.sendmsg([order.encode()], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        if "os.closerange(3, 1 << 20)" in argv[2]:  # so locks that it inherited do not last for it
            end = line.fileno()
            posix.closerange(3, end)
            posix.closerange(end + 1, 1 << 20)
        answer = line.recv(100)
    except OSError:
        answer = b""
    if not answer:
        posix.execve(sys.executable, argv, posix.environ)
    code = int(answer)
    if code < 0:
        posix.kill(posix.getpid(), -code)
    posix._exit(code)


main()
