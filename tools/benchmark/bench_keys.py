# SPDX-License-Identifier: Apache-2.0
"""Keys for TLS as QEMU wants them in a folder, made by openssl for one run."""
import os
import secrets
import subprocess

HOSTNAME = "bench.localhost"


class Keys:
    def __init__(self, kind, directory):
        self.kind = kind
        self.directory = directory
        self.hostname = HOSTNAME if kind == "x509" else ""
        if kind == "psk":
            with open(os.path.join(directory, "keys.psk"), "w", encoding="ascii",
                      opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(f"qemu:{secrets.token_hex(32)}\n")
        else:
            self._make_certificates()

    def object(self, name, endpoint):
        """Arguments of object-add."""
        made = {"qom-type": f"tls-creds-{self.kind}", "id": name, "dir": self.directory, "endpoint": endpoint}
        if self.kind == "x509":
            made["verify-peer"] = True
        elif endpoint == "client":
            made["username"] = "qemu"
        return made

    def _openssl(self, *words):
        done = subprocess.run(["openssl", *words], cwd=self.directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise OSError(f"openssl {words[0]}: {done.stderr.strip()}")

    def _make_certificates(self):
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tools-bench-ca",
                      "-keyout", "ca-key.pem", "-out", "ca-cert.pem",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        for who, use in (("server", "serverAuth"), ("client", "clientAuth")):
            self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOSTNAME}",
                          "-keyout", f"{who}-key.pem", "-out", f"{who}.csr")
            with open(os.path.join(self.directory, f"{who}.ext"), "w", encoding="ascii") as file:
                file.write("basicConstraints=critical,CA:FALSE\n"
                           "keyUsage=critical,digitalSignature,keyEncipherment\n"
                           f"extendedKeyUsage={use}\n"
                           f"subjectAltName=DNS:{HOSTNAME},IP:127.0.0.1\n")
            self._openssl("x509", "-req", "-in", f"{who}.csr", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem",
                          "-CAcreateserial", "-days", "2", "-extfile", f"{who}.ext", "-out", f"{who}-cert.pem")
