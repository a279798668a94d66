"""What is said of texts: their language, whether they repeat themselves or are damaged."""

import pytest

from vision.compare.languages import language_named, language_of
from vision.compare.texts import is_damaged, overlap, repeats_itself, words

CAPTIONS = {
    "English": ("A red circle on a grey background.", "Two people walk along the beach at sunset."),
    "German": ("Ein Kreis in Rot.", "Ein Hund sitzt auf der Wiese."),
    "French": ("Un chien est assis dans l'herbe devant une maison.",),
    "Spanish": ("Un perro está sentado en la hierba.",),
    "Italian": ("Un cane è seduto sull'erba davanti alla casa.",),
    "Portuguese": ("Um cão está sentado na relva.",),
    "Dutch": ("Een hond zit op het gras.",),
    "Swedish": ("En hund sitter på gräset och tittar.",),
    "Danish": ("En hund sidder på græsset og kigger.",),
    "Finnish": ("Koira istuu nurmikolla ja katsoo, kun se on ulkona.",),
    "Polish": ("Pies siedzi na trawie przed domem.",),
    "Czech": ("Pes sedí na trávě před domem.",),
    "Hungarian": ("Egy kutya ül a fűben a ház előtt.",),
    "Romanian": ("Un câine stă pe iarbă în fața casei.",),
    "Turkish": ("Çimlerin üzerinde bir köpek oturuyor ve bakıyor.",),  # noqa: RUF001
    "Indonesian": ("Seekor anjing duduk di atas rumput dengan bola.",),
    "Vietnamese": ("Một con chó ngồi trên cỏ.",),
    "Russian": ("Собака сидит на траве перед домом.",),
    "Ukrainian": ("Собака сидить на траві перед будинком.",),
    "Bulgarian": ("Кучето седи на тревата пред къщата.",),
    "Arabic": ("كلب يجلس على العشب في الحديقة",),
    "Persian": ("سگی روی چمن در باغ نشسته است",),
    "Chinese": ("一只狗坐在草地上。",),
    "Japanese": ("赤い円です。", "犬が草の上に座っています。"),
    "Korean": ("개가 풀밭에 앉아 있다.",),
    "Greek": ("Ένας σκύλος κάθεται στο γρασίδι.",),
    "Thai": ("สุนัขนั่งอยู่บนหญ้า",),
    "Hindi": ("एक कुत्ता घास पर बैठा है।",),
}


@pytest.mark.parametrize("language", CAPTIONS)
def test_the_language_of_a_caption_is_told(language: str) -> None:
    assert [language_of(text) for text in CAPTIONS[language]] == [language] * len(
        CAPTIONS[language]
    )


@pytest.mark.parametrize("text", ["", "a red circle", "DSC_1234", "Person, tree, dog", "🐕"])
def test_the_language_of_too_few_words_is_unclear_rather_than_wrong(text: str) -> None:
    assert language_of(text) == ""


def test_a_language_may_be_called_by_its_own_name_or_its_code() -> None:
    assert {language_named(name) for name in ("German", "german", "Deutsch", "DE")} == {"German"}
    assert language_named("klingon") == "Klingon"


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("the red circle and the red circle and the red circle and the red circle and", True),
        ("A dog runs home. A dog runs home.", True),
        ("猫が好きです。猫が好きです。", True),
        ("a man in a red shirt and a man in a red hat", False),
        ("New York, New York", False),
        ("No! No!", False),
        ("", False),
    ],
)
def test_what_says_the_same_again_and_again_repeats_itself(text: str, repeats: bool) -> None:  # noqa: FBT001
    assert repeats_itself(text) is repeats


def test_characters_that_are_no_text_are_damage() -> None:
    assert is_damaged("a dog \ufffd\ufffd")
    assert is_damaged("grass\U00100041")
    assert not is_damaged("Grüße 赤い 🐕‍🦺 naïve")


def test_words_of_scripts_without_spaces_are_pairs_of_characters() -> None:
    assert words("Two DOGS, one-eyed") == ["two", "dogs", "one", "eyed"]
    assert words("草地上 ok") == ["草地", "地上", "ok"]


def test_overlap_is_dices_coefficient() -> None:
    assert overlap({"a", "b", "c"}, {"b"}) == 0.5
    assert overlap({"a"}, {"a"}) == overlap(set(), set()) == 1.0
    assert overlap({"a"}, set()) == 0.0
