"""The rules by which requests find their commands."""

from __future__ import annotations

import pytest
from flask import Flask

from vsi_esl.web.rest import Route


def test_a_route_is_matched_and_no_url_is_made_of_it():
    app = Flask("test", static_folder=None)
    app.url_rule_class = Route
    app.add_url_rule("/v1/legs/<id>/mute", "mute_leg", lambda id: id, methods=["POST"])
    assert app.test_client().post("/v1/legs/a/mute").text == "a"
    (rule,) = app.url_map.iter_rules()
    with pytest.raises(LookupError):  # the library's own would have been compiled
        rule.build({"id": "a"})
