# ruff: noqa: RUF001 - that is what they are
"""Texts in many scripts, in which joiners, marks and selectors have a meaning."""

SCRIPTS = {
    "persian": "گربه\u200cای روی نیمکت می\u200cنشیند",
    "hindi": "क्\u200dषेत्र में एक बिल्ली और श्री\u200cमान बैठे हैं",
    "arabic": "قطة\u200f تجلس على السجادة، ٣ صور",
    "hebrew": "חתול\u200e יושב על שטיח",
    "thai": "แมว\u200bนั่งอยู่บนเสื่อ",
    "chinese": "一只猫坐在垫子上。",
    "japanese": "葛\U000e0100飾区で猫が座っている。",
    "korean": "고양이가 매트에 앉아 있다.",
    "russian": "Кошка сидит на ковре и смотрит в окно.",
    "greek": "Μια γάτα κάθεται στο χαλί.",
    "german": "Eine Katze sitzt auf der Straße – „schön“.",
    "vietnamese": "Một con mèo đang ngồi trên thảm.",
    "tamil": "ஒரு பூனை பாயில் அமர்ந்திருக்கிறது.",
    "bengali": "একটি বিড়াল মাদুরে বসে আছে, র\u200d্যাম।",
    "amharic": "ድመት ምንጣፍ ላይ ተቀምጣለች።",
    "flag": "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    "emoji": "\U0001fae8 \U0001fadf 👨\u200d👩\u200d👧\u200d👦 🏳\ufe0f\u200d🌈 👍🏽 🇩🇪 ❤\ufe0f",
    "decomposed": "Cafe\u0301 in Zu\u0308rich",
    "soft-hyphen-and-word-joiner": "Donau\u00addampf\u2060schiff",
}  # fmt: skip
WORDS = [
    "کتاب\u200cخانه", "श्री\u200dमान", "חתול", "قطة", "แมว", "猫", "葛\U000e0100飾", "고양이",
    "кошка", "γάτα", "mèo", "Straße", "👨\u200d👩\u200d👧 family", "❤\ufe0f heart", "Cafe\u0301",
]  # fmt: skip
