"""What a payment provider sends reaches settlement as it is, and the provider hears what settlement says."""

from tests.integration.edge.peers import Peers
from tests.integration.edge.processes import EdgeProcess

BODY = b'{ "id":"evt_1",\n"type" : "payment_intent.succeeded", "data":{"object":{"name":"\xc3\xa9"}} }'


def test_the_bytes_and_the_signature_pass_unchanged(edge: EdgeProcess, peers: Peers) -> None:
    reply = edge.client.post("/webhooks/stripe", content=BODY, headers={"stripe-signature": "t=1,v1=good"})
    assert (reply.status_code, reply.json()) == (200, {"received": True, "outcome": "posted"})
    assert peers.webhooks[-1] == (BODY, "t=1,v1=good")


def test_a_refusal_is_passed_on(edge: EdgeProcess, peers: Peers) -> None:
    for headers in ({"stripe-signature": "t=1,v1=bad"}, {}):
        reply = edge.client.post("/webhooks/stripe", content=BODY, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_signature")
    assert peers.webhooks[-1] == (BODY, None)


def test_a_body_that_is_too_large_does_not_reach_settlement(edge: EdgeProcess, peers: Peers) -> None:
    seen = len(peers.webhooks)
    reply = edge.client.post("/webhooks/stripe", content=b" " * (1024 * 1024 + 1))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
    assert len(peers.webhooks) == seen
    assert edge.client.get("/webhooks/stripe").status_code == 405
