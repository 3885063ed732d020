"""Who may be named in a definition's managed fields, and when it counts as served."""

from loadline_operator.hooks.install_crds import helms, is_served

HELM = {"manager": "helm", "operation": "Apply"}
SERVER = {"manager": "kube-apiserver", "operation": "Update", "subresource": "status"}


def test_helms_apply_and_the_servers_status_stay() -> None:
    assert helms([HELM, SERVER]) == [HELM, SERVER]


def test_everybody_else_goes() -> None:
    kubectl = {"manager": "kubectl", "operation": "Apply"}
    older = {"manager": "helm", "operation": "Update"}
    assert helms([kubectl, older, HELM]) == [HELM]


def test_a_definition_is_served_once_it_is_established() -> None:
    assert not is_served({})
    assert not is_served({"status": {"conditions": [{"type": "NamesAccepted", "status": "True"}]}})
    assert not is_served({"status": {"conditions": [{"type": "Established", "status": "False"}]}})
    assert is_served({"status": {"conditions": [{"type": "Established", "status": "True"}]}})
