"""What the categories of labels are: kinds of things, groups of kinds, or themes.

A kind is what people call a thing when they see it (dog, car): the basic level of categories, after
Rosch et al., "Basic objects in natural categories", 1976. Its classes are special forms, such as
breeds and makes, which look alike. All categories that are not named below are kinds.
"""

GROUPS = frozenset(
    {
        "accessory", "amphibian", "ape", "appliance", "arachnid", "architecture", "armor",
        "bird of prey", "bread", "building", "clothing", "coast", "container", "cookware",
        "cosmetics", "costume", "crustacean", "dessert", "drink", "drinkware", "electronics",
        "farm animal", "fast food", "food", "fruit", "furniture", "insect", "landscape",
        "lighting", "marine life", "marsupial", "mollusk", "monument", "musical instrument",
        "plant", "reptile", "rodent", "textile", "tool", "tower", "toy", "vegetable", "vehicle",
        "weapon", "wild cat",
    }
)  # fmt: skip
"""Of kinds that have names of their own (sofa, lemon, castle): the superordinate level."""

THEMES = frozenset(
    {
        "amusement park", "animal", "art", "baby", "baseball", "bathroom", "bedroom", "book",
        "boxing", "camping", "Christmas", "cleaning", "construction", "diving", "entertainment",
        "farm", "fishing", "fitness", "game", "garden", "gas station", "golf", "graduation",
        "gymnastics", "hair", "Halloween", "harbor", "hardware", "holiday", "home", "ice hockey",
        "industry", "kitchen", "medical", "military", "money", "music", "nature", "office", "park",
        "person", "photography", "playground", "religion", "science", "sewing", "shopping", "sign",
        "space", "sports", "street", "swimming", "tennis", "underwater", "water", "wedding",
        "winter",
    }
)  # fmt: skip
"""What things that look different have in common: where they are, what they are for. Also the
categories with so many classes (animal: 398 of 1,000) that any photo gives them something."""
