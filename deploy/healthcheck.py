#!/usr/bin/env python3
"""Whether streamsr works: asks /livez on this host, and says what it answers by the exit code.

STREAMSR_LIVEZ is the address, where it is not one of those that the image listens on.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request

USUAL = "https://127.0.0.1:8443/livez http://127.0.0.1:8080/livez"
WITHIN_S = 3


def answers(url: str) -> bool:
    unchecked = ssl.create_default_context()  # the certificate is for another name than this host
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=WITHIN_S, context=unchecked) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(not any(map(answers, os.environ.get("STREAMSR_LIVEZ", USUAL).split())))
