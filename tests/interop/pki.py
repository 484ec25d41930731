# SPDX-License-Identifier: Apache-2.0
"""Certificates and shared keys for tests, made when they run."""
import os
import subprocess

from peers import write_file

CLIENT_NAME = 'C=GB,L=\\ Lon,O=\\#Acme\\, \\"In\\;c\\",OU=a=b,EMAIL=x@y.z,UID=fred,CN=dögfood'
CLIENT_SUBJECT = '/C=GB/L= Lon/O=#Acme, "In;c"/OU=a=b/emailAddress=x@y.z/UID=fred/CN=dögfood'
KEY = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Pki:
    """A directory with a CA, a server's and a client's certificate, and keys.psk."""

    def __init__(self, directory):
        self.dir = directory
        os.mkdir(directory)
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8"]
        openssl("req", "-x509", *new, "-subj", "/CN=CA of the test", "-keyout", self.path("ca-key.pem"),
                "-out", self.path("ca-cert.pem"), "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        for role, subject, names in (("server", "/CN=server", "DNS:localhost,IP:127.0.0.1"),
                                     ("client", CLIENT_SUBJECT, "DNS:client")):
            extensions, request = self.path("extensions"), self.path("request")
            write_file(extensions, f"subjectAltName={names}\nextendedKeyUsage={role}Auth\n".encode())
            openssl("req", *new, "-subj", subject, "-keyout", self.path(f"{role}-key.pem"), "-out", request)
            openssl("x509", "-req", "-in", request, "-CA", self.path("ca-cert.pem"),
                    "-CAkey", self.path("ca-key.pem"), "-CAcreateserial", "-extfile", extensions,
                    "-days", "2", "-out", self.path(f"{role}-cert.pem"))
        self.key("qemu", KEY)

    def path(self, name):
        return os.path.join(self.dir, name)

    def key(self, user, key):
        write_file(self.path("keys.psk"), f"{user}:{key}\n".encode())

    def creds(self, kind, endpoint, *more):
        return ",".join([f"tls-creds-{kind},id=t", f"endpoint={endpoint}", f"dir={self.dir}", *more])
