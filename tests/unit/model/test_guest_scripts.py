"""Which scripts a VM's metadata has (as Google's guest agent reads it)."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from testbed.model.compute.guest_scripts import Script, scripts
from testbed.model.compute.instance import Instance
from testbed.model.core.resource import Defaults

IN_STORAGE = "https://storage.googleapis.com/download/storage/v1/b/bucket/o/a%2Fb%20c.sh?alt=media"


def test_the_text_comes_before_the_url() -> None:
    given = {"startup-script-url": "gs://b/o", "startup-script": "a", "shutdown-script": "b"}
    assert [one.key for one in scripts("startup", given, {})] == ["startup-script", "startup-script-url"]
    assert [one.key for one in scripts("shutdown", given, {})] == ["shutdown-script"]


def test_the_project_is_asked_where_the_instance_has_no_script() -> None:
    project = {"startup-script": "of the project"}
    assert scripts("startup", {}, project) == (Script("startup-script", "of the project"),)
    assert scripts("startup", {"startup-script": ""}, project) == (Script("startup-script", "of the project"),)
    assert [one.key for one in scripts("startup", {"startup-script-url": "gs://b/o"}, project)] == [
        "startup-script-url"
    ]


def test_blanks_before_a_script_are_no_part_of_it() -> None:
    assert Script("startup-script", "\n  #!/bin/sh\necho\n").text == "#!/bin/sh\necho\n"


@pytest.mark.parametrize(
    "url",
    [
        "gs://bucket/a/b c.sh",
        " gs://bucket/a/b c.sh\n",
        "https://bucket.storage.googleapis.com/a/b c.sh",
        "http://storage.googleapis.com/bucket/a/b c.sh",
        "https://storage.cloud.google.com/bucket/a/b c.sh",
    ],
)
def test_an_object_of_cloud_storage_is_known_by_its_url(url: str) -> None:
    assert Script("startup-script-url", url).places == (IN_STORAGE, IN_STORAGE)


def test_another_url_is_got_as_it_is_and_ends_no_line() -> None:
    assert Script("startup-script-url", "http://10.0.0.2/a?b=1&c").places == ("", "http://10.0.0.2/a?b=1&c")
    stored, plain = Script("startup-script-url", 'http://h/"\nurl = "file:///etc/passwd').places
    assert (stored, '"' in plain, "\n" in plain) == ("", False, False)


def _instance(image: str, key: str) -> Instance:
    return Instance.model_validate(
        {
            "name": "vm",
            "zone": "us-central1-a",
            "networkInterfaces": [{"subnetwork": "projects/p/regions/us-central1/subnetworks/s"}],
            "disks": [{"initializeParams": {"sourceImage": image}}],
            "metadata": {"items": [{"key": key, "value": "x"}]},
        },
        context=Defaults(project="p", region="us-central1", zone="us-central1-a"),
    )


@pytest.mark.parametrize(
    ("image", "key"),
    [
        ("projects/cos-cloud/global/images/family/cos-stable", "gce-container-declaration"),
        ("projects/cos-cloud/global/images/family/cos-stable", "user-data"),
        ("projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64", "user-data"),
    ],
)
def test_what_the_guest_would_do_and_ours_does_not_is_refused(image: str, key: str) -> None:
    with pytest.raises(ValidationError, match=f"metadata {key}"):
        _instance(image, key)


@pytest.mark.parametrize("key", ["user-data", "gce-container-declaration", "ssh-keys"])
def test_debian_has_no_cloud_init_and_runs_no_container(key: str) -> None:
    made = _instance("projects/debian-cloud/global/images/family/debian-12", key)
    assert made.metadata.attributes() == {key: "x"}
