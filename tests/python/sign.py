"""Signs a request with http-message-signatures (PyPI).

Standard input: a JSON object with method, url, headers (an object), covered (a list), key_id, secret
and nonce. Standard output: one with the headers that make up the signature.
"""

import json
import sys
from types import SimpleNamespace

from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

asked = json.load(sys.stdin)


class Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id):
        return asked["secret"].encode()

    def resolve_public_key(self, key_id):
        return asked["secret"].encode()


request = SimpleNamespace(
    method=asked["method"], url=asked["url"], headers=dict(asked["headers"]), body=None
)
signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Keys())
signer.sign(
    request,
    key_id=asked["key_id"],
    nonce=asked["nonce"],
    covered_component_ids=asked["covered"],
    use_existing_digest="content-digest" in asked["covered"],
)
json.dump({name: request.headers[name] for name in ("Signature-Input", "Signature")}, sys.stdout)
