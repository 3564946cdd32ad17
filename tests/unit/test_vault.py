"""The vault opens a text with its own key, for its own row, and whole; anything else is a clear error."""

import json
import traceback
from base64 import b64decode, b64encode
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.errors import VaultError
from crm.settings import SettingsProblem
from crm.vault import MasterKeys, Sealed, Vault, new_master_key, token_purpose

WORKSPACE = UUID("6f0c1a52-7f0e-4d4e-9a5f-0d3b1f4f7a01")
PURPOSE = token_purpose("salesforce")
CANARY = "00D-canary-access-token-5Aep861-canary-refresh-token"
KEY_1 = new_master_key("k1")
KEY_2 = new_master_key("k2")


def vault_of(*entries: str) -> Vault:
    return Vault(MasterKeys.parse(",".join(entries)))


def seal(text: str = CANARY) -> Sealed:
    return vault_of(KEY_1).seal(text, workspace_id=WORKSPACE, purpose=PURPOSE)


def refusal(
    sealed: Sealed, *, vault: Vault | None = None, workspace_id: UUID = WORKSPACE, purpose: str = PURPOSE
) -> VaultError:
    """The error of opening `sealed`, checked to show nothing of the plaintext."""
    with pytest.raises(VaultError) as raised:
        (vault or vault_of(KEY_1)).open(sealed, workspace_id=workspace_id, purpose=purpose)
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + raised.value.public
    assert "canary" not in shown
    return raised.value


@given(st.text())
def test_what_was_sealed_opens_again(text: str) -> None:
    """Every text that UTF-8 can say comes back as it was."""
    # Given a vault
    vault = vault_of(KEY_1)

    # When a text is sealed and opened
    opened = vault.open(
        vault.seal(text, workspace_id=WORKSPACE, purpose=PURPOSE), workspace_id=WORKSPACE, purpose=PURPOSE
    )

    # Then it is the same
    assert opened == text


def test_sealing_twice_gives_two_texts() -> None:
    """Every sealing has a fresh 96-bit IV, so equal tokens cannot be seen to be equal."""
    # Given one plaintext

    # When it is sealed a hundred times
    sealed = [seal() for _ in range(100)]

    # Then no IV and no ciphertext repeats, and the parts have their sizes
    assert len({one.iv for one in sealed}) == len({one.ciphertext for one in sealed}) == 100
    assert {len(b64decode(one.iv)) for one in sealed} == {12}
    assert {len(b64decode(one.tag)) for one in sealed} == {16}
    assert all(len(one.iv) <= 32 and len(one.tag) <= 32 for one in sealed)


@pytest.mark.parametrize("part", ["ciphertext", "iv", "tag"])
def test_every_flipped_bit_is_noticed(part: str) -> None:
    """One changed bit anywhere, in ciphertext, IV or tag, and nothing comes out."""
    # Given a sealed text
    sealed = seal()
    content = b64decode(getattr(sealed, part))

    # When each of its bits is flipped in turn
    for position in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        error = refusal(replace(sealed, **{part: b64encode(flipped).decode()}))

        # Then it does not open, and the reason names what can be wrong
        assert "was changed" in str(error)


@pytest.mark.parametrize("part", ["ciphertext", "iv", "tag"])
def test_every_changed_character_is_noticed(part: str) -> None:
    """The stored base64 is strict: no other text stands for the same bytes."""
    # Given a sealed text
    sealed = seal()
    text = getattr(sealed, part)

    # When each character is replaced, cut or doubled, then it does not open
    for position in range(len(text)):
        for changed in (text[:position] + "A" + text[position + 1 :], text[:position] + text[position + 1 :]):
            if changed != text:
                refusal(replace(sealed, **{part: changed}))
    refusal(replace(sealed, **{part: text + "AAAA"}))


@pytest.mark.parametrize("damaged", ["", "not base64!", "é", "QQ", "QR==", "A" * 16 + "\n"])
@pytest.mark.parametrize("part", ["iv", "tag", "ciphertext"])
def test_damaged_base64_is_named(part: str, damaged: str) -> None:
    """A part that is no base64, or has the wrong length, is named in the error."""
    # Given a sealed text with one damaged part
    sealed = replace(seal(), **{part: damaged})

    # When it is opened
    error = refusal(sealed)

    # Then the error says which part, or that the text was changed
    named = {"iv": "IV", "tag": "tag", "ciphertext": "ciphertext"}[part]
    assert named in str(error) or "was changed" in str(error)


def test_a_swapped_row_does_not_open() -> None:
    """Tokens of one integration do not open as those of another one of the same workspace, nor the parts mixed."""
    # Given the sealed tokens of two rows
    vault = vault_of(KEY_1)
    salesforce = vault.seal(CANARY, workspace_id=WORKSPACE, purpose=token_purpose("salesforce"))
    hubspot = vault.seal(CANARY, workspace_id=WORKSPACE, purpose=token_purpose("hubspot"))

    # When they are read from each other's row, whole or in parts, then they do not open
    assert "belongs to another workspace or integration" in str(refusal(hubspot))
    refusal(replace(salesforce, ciphertext=hubspot.ciphertext))
    refusal(replace(salesforce, iv=hubspot.iv))
    refusal(replace(salesforce, tag=hubspot.tag))


def test_another_workspace_has_another_key() -> None:
    """A row copied into another workspace does not open, and not only because the workspace is bound as data."""
    # Given two workspaces
    other = uuid4()

    # When one's tokens are opened for the other
    error = refusal(seal(), workspace_id=other)

    # Then they do not open, and the derived keys differ
    assert "another workspace" in str(error)
    iv = bytes(12)
    ciphers = [vault_of(KEY_1)._cipher("k1", workspace) for workspace in (WORKSPACE, other)]
    assert ciphers[0].encrypt(iv, b"same", None) != ciphers[1].encrypt(iv, b"same", None)


def test_an_unknown_key_id_is_named() -> None:
    """A text sealed with a key that was retired too early says which key is missing."""
    # Given a text sealed with k1, and a vault that holds only k2
    sealed = seal()

    # When it is opened
    error = refusal(sealed, vault=vault_of(KEY_2))

    # Then the error names the key and the setting
    assert "'k1'" in str(error)
    assert "CRM_SYNC_MASTER_KEYS" in str(error)


def test_another_key_of_the_same_id_does_not_open() -> None:
    """A master key that was replaced under its old id is not mistaken for the old one."""
    # Given a text sealed with k1, and another key under that id
    impostor = vault_of(new_master_key("k1"))

    # When it is opened
    error = refusal(seal(), vault=impostor)

    # Then the error names the key id
    assert "'k1'" in str(error)


def test_a_relabelled_text_does_not_open() -> None:
    """The key id is bound too: a text is not opened under another id, even where the key is the same."""
    # Given one key under two ids
    key = KEY_1.partition(":")[2]
    vault = vault_of(f"a:{key}", f"b:{key}")
    sealed = vault.seal(CANARY, workspace_id=WORKSPACE, purpose=PURPOSE)

    # When the stored id is changed, then it does not open
    refusal(replace(sealed, key_id="b"), vault=vault)


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    """After a new key is put first, old texts still open and new ones carry the new key's id."""
    # Given a text sealed under k1
    old = seal()

    # When k2 becomes the first key
    vault = vault_of(KEY_2, KEY_1)
    new = vault.seal(CANARY, workspace_id=WORKSPACE, purpose=PURPOSE)

    # Then both open, and each names its key
    assert (old.key_id, new.key_id) == ("k1", "k2")
    assert [vault.open(one, workspace_id=WORKSPACE, purpose=PURPOSE) for one in (old, new)] == [CANARY, CANARY]
    assert vault.primary_key_id == "k2"
    assert set(vault.key_ids) == {"k1", "k2"}


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("", "holds no key"),
        (" , ", "holds no key"),
        ("just-a-word", "does not have the form"),
        (":" + "A" * 44, "does not have the form"),
        ("bad id:" + "A" * 44, "does not have the form"),
        ("k1:", "does not have the form"),
        ("k1:***", "('k1') is not base64"),
        ("k1:" + b64encode(bytes(16)).decode(), "('k1') has 16 bytes, 32 are needed"),
        (f"{KEY_1},{new_master_key('k1')}", "repeats the id 'k1'"),
    ],
)
def test_a_wrong_setting_is_explained(setting: str, problem: str) -> None:
    """Each thing that can be wrong with the setting has its own words, and the variable's name."""
    # Given a wrong value

    # When it is read
    with pytest.raises(SettingsProblem) as raised:
        MasterKeys.parse(setting)

    # Then the text names the variable and the problem
    assert "CRM_SYNC_MASTER_KEYS" in str(raised.value)
    assert problem in str(raised.value)


def test_all_wrong_keys_are_reported_at_once_and_none_is_shown() -> None:
    """Two wrong entries give two lines, without key material."""
    # Given two wrong entries around a good one
    secret = b64encode(b"canary-canary-16").decode()

    # When they are read
    with pytest.raises(SettingsProblem) as raised:
        MasterKeys.parse(f"k1:{secret},{KEY_2},k3:@@@")

    # Then both are named and neither key is shown
    assert "key 1 ('k1') has 16 bytes" in str(raised.value)
    assert "key 3 ('k3') is not base64" in str(raised.value)
    assert secret not in str(raised.value)
    assert KEY_2 not in str(raised.value)


def test_keys_do_not_show_themselves() -> None:
    """Neither the keys nor the vault print key material."""
    # Given parsed keys
    keys = MasterKeys.parse(KEY_1)

    # When they are shown
    shown = repr(keys) + str(keys) + repr(Vault(keys)) + json.dumps({"keys": str(keys)})

    # Then only the id is there
    assert "k1" in shown
    assert KEY_1.partition(":")[2] not in shown
    assert repr(keys.by_id["k1"]) not in shown


def test_a_new_key_fits_the_setting() -> None:
    """What `new_master_key` prints can be put into the setting as it is; an id that cannot is refused."""
    # Given a new key

    # When it is read back
    keys = MasterKeys.parse(new_master_key("2026-11"))

    # Then it is the primary key, of 32 bytes
    assert keys.primary == "2026-11"
    assert len(keys.by_id["2026-11"]) == 32
    with pytest.raises(ValueError, match="key id"):
        new_master_key("a,b:c")
