"""Reviewed names, categories and priorities of ImageNet classes, by WordNet synset id.

The comment on a line quotes the first WordNet lemma.
"""

# Names for classes whose lemmas alone give no good one, in class order.
NAMES: dict[str, str] = {
    "n01514668": "rooster",  # cock
    "n01601694": "dipper",  # water ouzel
    "n01608432": "kite bird",  # kite
    "n01622779": "great gray owl",  # great grey owl
    "n01629819": "fire salamander",  # European fire salamander
    "n01631663": "red eft",  # eft
    "n01677366": "iguana",  # common iguana
    "n01682714": "anole",  # American chameleon
    "n01694178": "chameleon",  # African chameleon
    "n01697457": "Nile crocodile",  # African crocodile
    "n01728572": "worm snake",  # thunder snake
    "n01770081": "daddy longlegs",  # harvestman
    "n01774384": "black widow spider",  # black widow
    "n01817953": "African gray parrot",  # African grey
    "n01847000": "duck",  # drake
    "n01871265": "elephant",  # tusker
    "n01882714": "koala",  # koala
    "n01968897": "nautilus",  # chambered nautilus
    "n01983481": "lobster",  # American lobster
    "n02009912": "great egret",  # American egret
    "n02012849": "crane bird",  # crane
    "n02017213": "purple swamphen",  # European gallinule
    "n02027492": "dunlin",  # red-backed sandpiper
    "n02066245": "gray whale",  # grey whale
    "n02071294": "orca",  # killer whale
    "n02085782": "Japanese Chin",  # Japanese spaniel
    "n02086079": "Pekingese",  # Pekinese
    "n02086240": "Shih Tzu",  # Shih-Tzu
    "n02086646": "King Charles spaniel",  # Blenheim spaniel
    "n02088632": "bluetick coonhound",  # bluetick
    "n02090379": "redbone coonhound",  # redbone
    "n02093256": "Staffordshire bull terrier",  # Staffordshire bullterrier
    "n02095314": "wire fox terrier",  # wire-haired fox terrier
    "n02096585": "Boston terrier",  # Boston bull
    "n02097298": "Scottish terrier",  # Scotch terrier
    "n02100236": "German shorthaired pointer",  # German short-haired pointer
    "n02105056": "Belgian sheepdog",  # groenendael
    "n02105162": "Belgian Malinois",  # malinois
    "n02105251": "Briard",  # briard
    "n02105412": "Australian kelpie",  # kelpie
    "n02106662": "German shepherd",  # German shepherd
    "n02107574": "Greater Swiss mountain dog",  # Greater Swiss Mountain dog
    "n02107908": "Appenzeller mountain dog",  # Appenzeller
    "n02108000": "Entlebucher mountain dog",  # EntleBucher
    "n02108089": "boxer dog",  # boxer
    "n02108422": "bullmastiff",  # bull mastiff
    "n02109961": "husky",  # Eskimo dog
    "n02110063": "Alaskan malamute",  # malamute
    "n02110341": "Dalmatian",  # dalmatian
    "n02111129": "Leonberger",  # Leonberg
    "n02112706": "Brussels griffon",  # Brabancon griffon
    "n02113978": "Mexican hairless dog",  # Mexican hairless
    "n02114367": "gray wolf",  # timber wolf
    "n02114548": "Arctic wolf",  # white wolf
    "n02116738": "African wild dog",  # African hunting dog
    "n02120505": "gray fox",  # grey fox
    "n02133161": "black bear",  # American black bear
    "n02134084": "polar bear",  # ice bear
    "n02168699": "longhorn beetle",  # long-horned beetle
    "n02231487": "stick insect",  # walking stick
    "n02236044": "praying mantis",  # mantis
    "n02264363": "lacewing",  # lacewing
    "n02276258": "admiral butterfly",  # admiral
    "n02280649": "cabbage white butterfly",  # cabbage butterfly
    "n02281406": "sulfur butterfly",  # sulphur butterfly
    "n02281787": "gossamer-winged butterfly",  # lycaenid
    "n02325366": "cottontail rabbit",  # wood rabbit
    "n02356798": "squirrel",  # fox squirrel
    "n02389026": "horse",  # sorrel
    "n02395406": "pig",  # hog
    "n02437312": "camel",  # Arabian camel
    "n02443484": "ferret",  # black-footed ferret
    "n02457408": "sloth",  # three-toed sloth
    "n02486261": "patas monkey",  # patas
    "n02488291": "langur monkey",  # langur
    "n02492035": "capuchin monkey",  # capuchin
    "n02497673": "ring-tailed lemur",  # Madagascar cat
    "n02504013": "Asian elephant",  # Indian elephant
    "n02509815": "red panda",  # lesser panda
    "n02606052": "rock beauty fish",  # rock beauty
    "n02607072": "clownfish",  # anemone fish
    "n02655020": "pufferfish",  # puffer
    "n02704792": "amphibious vehicle",  # amphibian
    "n02727426": "beehive",  # apiary
    "n02747177": "trash can",  # ashcan
    "n02786058": "adhesive bandage",  # Band Aid
    "n02788148": "banister",  # bannister
    "n02797295": "wheelbarrow",  # barrow
    "n02807133": "swimming cap",  # bathing cap
    "n02814533": "station wagon",  # beach wagon
    "n02814860": "lighthouse",  # beacon
    "n02817516": "bearskin hat",  # bearskin
    "n02825657": "bell tower",  # bell cote
    "n02835271": "tandem bicycle",  # bicycle-built-for-two
    "n02840245": "ring binder",  # binder
    "n02871525": "bookstore",  # bookshop
    "n02877765": "bottle cap",  # bottlecap
    "n02879718": "archery bow",  # bow
    "n02892201": "memorial plaque",  # brass
    "n02892767": "bra",  # brassiere
    "n02930766": "taxi",  # cab
    "n02939185": "cauldron",  # caldron
    "n02966687": "tool kit",  # carpenter's kit
    "n02971356": "cardboard box",  # carton
    "n02977058": "ATM",  # cash machine
    "n02978881": "cassette tape",  # cassette
    "n02992529": "mobile phone",  # cellular telephone
    "n03000134": "chain-link fence",  # chainlink fence
    "n03014705": "storage chest",  # chest
    "n03016953": "chest of drawers",  # chiffonier
    "n03028079": "church",  # church
    "n03063689": "coffee pot",  # coffeepot
    "n03065424": "spiral",  # coil
    "n03089624": "candy store",  # confectionery
    "n03110669": "trumpet",  # cornet
    "n03126707": "construction crane",  # crane
    "n03133878": "slow cooker",  # Crock Pot
    "n03187595": "rotary phone",  # dial telephone
    "n03207743": "dishcloth",  # dishrag
    "n03208938": "disc brake",  # disk brake
    "n03240683": "oil rig",  # drilling platform
    "n03250847": "drum stick",  # drumstick
    "n03337140": "filing cabinet",  # file
    "n03345487": "fire truck",  # fire engine
    "n03347037": "fireplace screen",  # fire screen
    "n03388549": "four-poster bed",  # four-poster
    "n03424325": "gas mask",  # gasmask
    "n03445924": "golf cart",  # golfcart
    "n03459775": "car grille",  # grille
    "n03476684": "hair clip",  # hair slide
    "n03478589": "half-track",  # half track
    "n03483316": "hair dryer",  # hand blower
    "n03485407": "handheld computer",  # hand-held computer
    "n03492542": "hard drive",  # hard disc
    "n03496892": "combine harvester",  # harvester
    "n03534580": "hoop skirt",  # hoopskirt
    "n03584829": "clothes iron",  # iron
    "n03594734": "jeans",  # jean
    "n03595614": "T-shirt",  # jersey
    "n03599486": "rickshaw",  # jinrikisha
    "n03642806": "laptop",  # laptop
    "n03673027": "cruise ship",  # liner
    "n03680355": "loafer",  # Loafer
    "n03691459": "loudspeaker",  # loudspeaker
    "n03692522": "magnifying glass",  # loupe
    "n03697007": "sawmill",  # lumbermill
    "n03706229": "compass",  # magnetic compass
    "n03709823": "shoulder bag",  # mailbag
    "n03710637": "swimsuit",  # maillot
    "n03710721": "one-piece swimsuit",  # maillot
    "n03721384": "xylophone",  # marimba
    "n03742115": "medicine cabinet",  # medicine chest
    "n03777568": "Ford Model T",  # Model T
    "n03782006": "computer monitor",  # monitor
    "n03786901": "mortar and pestle",  # mortar
    "n03787032": "graduation cap",  # mortarboard
    "n03792972": "tent",  # mountain tent
    "n03793489": "computer mouse",  # mouse
    "n03803284": "dog muzzle",  # muzzle
    "n03804744": "metal nail",  # nail
    "n03825788": "pacifier",  # nipple
    "n03854065": "pipe organ",  # organ
    "n03873416": "boat paddle",  # paddle
    "n03874293": "paddle wheel",  # paddlewheel
    "n03877472": "pajamas",  # pajama
    "n03884397": "pan flute",  # panpipe
    "n03895866": "passenger train car",  # passenger car
    "n03902125": "pay phone",  # pay-phone
    "n03908618": "pencil case",  # pencil box
    "n03929660": "guitar pick",  # pick
    "n03950228": "water pitcher",  # pitcher
    "n03954731": "carpenter's plane",  # plane
    "n03961711": "dish rack",  # plate rack
    "n03983396": "soda bottle",  # pop bottle
    "n03991062": "flowerpot",  # pot
    "n04005630": "prison",  # prison
    "n04019541": "hockey puck",  # puck
    "n04037443": "race car",  # racer
    "n04067472": "fishing reel",  # reel
    "n04069434": "SLR camera",  # reflex camera
    "n04116512": "eraser",  # rubber eraser
    "n04118776": "ruler",  # rule
    "n04131690": "salt shaker",  # saltshaker
    "n04141076": "saxophone",  # sax
    "n04141975": "weighing scale",  # scale
    "n04201297": "shoji screen",  # shoji
    "n04243546": "slot machine",  # slot
    "n04258138": "solar collector",  # solar dish
    "n04335435": "tram",  # streetcar
    "n04344873": "sofa",  # studio couch
    "n04350905": "suit",  # suit
    "n04355933": "eyewear",  # sunglass
    "n04367480": "mop",  # swab
    "n04371430": "swim trunks",  # swimming trunks
    "n04372370": "light switch",  # switch
    "n04389033": "military tank",  # tank
    "n04404412": "television",  # television
    "n04417672": "thatched roof",  # thatch
    "n04428191": "threshing machine",  # thresher
    "n04456115": "flaming torch",  # torch
    "n04462240": "toy store",  # toyshop
    "n04467665": "semi truck",  # trailer truck
    "n04505470": "typewriter",  # typewriter keyboard
    "n04523525": "vaulted ceiling",  # vault
    "n04553703": "sink",  # washbasin
    "n04554684": "washing machine",  # washer
    "n04591157": "necktie",  # Windsor tie
    "n04592741": "airplane wing",  # wing
    "n04604644": "split-rail fence",  # worm fence
    "n04606251": "shipwreck",  # wreck
    "n04612504": "sailboat",  # yawl
    "n06359193": "website",  # web site
    "n07248320": "book cover",  # book jacket
    "n07579787": "plate of food",  # plate
    "n07584110": "soup",  # consomme
    "n07615774": "popsicle",  # ice lolly
    "n07684084": "baguette",  # French loaf
    "n07697537": "hot dog",  # hotdog
    "n07711569": "mashed potatoes",  # mashed potato
    "n07714571": "cabbage",  # head cabbage
    "n07742313": "apple",  # Granny Smith
    "n07831146": "spaghetti carbonara",  # carbonara
    "n07871810": "meatloaf",  # meat loaf
    "n07873807": "pizza",  # pizza
    "n07875152": "pot pie",  # potpie
    "n09193705": "mountain",  # alp
    "n09229709": "soap bubble",  # bubble
    "n09399592": "headland",  # promontory
    "n09835506": "baseball player",  # ballplayer
    "n11879895": "rapeseed field",  # rapeseed
    "n12057211": "lady's slipper orchid",  # yellow lady's slipper
    "n12620546": "rose hip",  # hip
    "n12768682": "horse chestnut",  # buckeye
    "n12998815": "agaric mushroom",  # agaric
    "n13037406": "false morel",  # gyromitra
    "n13052670": "hen of the woods",  # hen-of-the-woods
    "n13054560": "bolete mushroom",  # bolete
    "n13133613": "ear of corn",  # ear
    "n15075141": "toilet paper",  # toilet tissue
}

# Categories of a synset and of all classes below it, from specific to general. An empty tuple
# exempts a class from the categories of its hypernyms.
CATEGORIES: dict[str, tuple[str, ...]] = {
    # --- Animals ---
    "n00015388": ("animal",),  # animal
    "n02084071": ("dog", "animal"),  # dog
    "n02087551": ("dog", "animal"),  # hound
    "n02115335": ("wild dog", "animal"),  # wild dog
    "n02114100": ("wolf", "animal"),  # wolf
    "n02114855": ("animal",),  # coyote
    "n02118333": ("fox", "animal"),  # fox
    "n02121808": ("cat", "animal"),  # domestic cat
    "n02124623": ("wild cat", "animal"),  # wildcat
    "n02127808": ("wild cat", "animal"),  # big cat
    "n02131653": ("bear", "animal"),  # bear
    "n02510455": ("bear", "animal"),  # giant panda
    "n02470325": ("ape", "animal"),  # ape
    "n02484322": ("monkey", "animal"),  # monkey
    "n02496913": ("lemur", "animal"),  # lemur
    "n02503517": ("elephant", "animal"),  # elephant
    "n02062744": ("whale", "marine life", "animal"),  # whale
    "n02062017": ("marine life", "animal"),  # aquatic mammal
    "n02076196": ("seal", "marine life", "animal"),  # seal
    "n01874434": ("marsupial", "animal"),  # marsupial
    "n01877134": ("kangaroo", "marsupial", "animal"),  # kangaroo
    "n02324045": ("rabbit", "animal"),  # rabbit
    "n02329401": ("rodent", "animal"),  # rodent
    "n02402425": ("cattle", "farm animal", "animal"),  # cattle
    "n02411705": ("sheep", "farm animal", "animal"),  # sheep
    "n02415577": ("sheep", "animal"),  # bighorn
    "n02416519": ("goat", "animal"),  # goat
    "n02419796": ("antelope", "animal"),  # antelope
    "n02395406": ("farm animal", "animal"),  # hog
    "n02437616": ("farm animal", "animal"),  # llama
    "n02396427": ("pig", "animal"),  # wild boar
    "n02408429": ("farm animal", "animal"),  # water buffalo
    "n01503061": ("bird", "animal"),  # bird
    "n01789386": ("bird", "animal"),  # gallinaceous bird
    "n01604330": ("bird of prey", "bird", "animal"),  # bird of prey
    "n01613294": ("eagle", "bird", "animal"),  # eagle
    "n01621127": ("owl", "bird", "animal"),  # owl
    "n01816887": ("parrot", "bird", "animal"),  # parrot
    "n01846331": ("duck", "bird", "animal"),  # duck
    "n01858441": ("swan", "bird", "animal"),  # swan
    "n02055803": ("penguin", "bird", "animal"),  # penguin
    "n02002075": ("stork", "bird", "animal"),  # stork
    "n02008041": ("heron", "bird", "animal"),  # heron
    "n02021795": ("seabird", "bird", "animal"),  # seabird
    "n02022684": ("shorebird", "bird", "animal"),  # shorebird
    "n01529672": ("finch", "bird", "animal"),  # finch
    "n01795088": ("grouse", "bird", "animal"),  # grouse
    "n01514668": ("chicken", "bird", "animal"),  # cock
    "n01514859": ("chicken", "bird", "animal"),  # hen
    "n02512053": ("fish", "animal"),  # fish
    "n01482330": ("shark", "fish", "animal"),  # shark
    "n02534559": ("salmon", "fish", "animal"),  # salmonid
    "n01662784": ("turtle", "reptile", "animal"),  # turtle
    "n01674464": ("lizard", "reptile", "animal"),  # lizard
    "n01726692": ("snake", "reptile", "animal"),  # snake
    "n01697457": ("crocodile", "reptile", "animal"),  # African crocodile
    "n01698640": ("alligator", "reptile", "animal"),  # American alligator
    "n01704323": ("dinosaur", "animal"),  # triceratops
    "n01639765": ("frog", "amphibian", "animal"),  # frog
    "n01629276": ("salamander", "amphibian", "animal"),  # salamander
    "n02159955": ("insect", "animal"),  # insect
    "n02274259": ("butterfly", "insect", "animal"),  # butterfly
    "n02164464": ("beetle", "insect", "animal"),  # beetle
    "n01769347": ("arachnid", "animal"),  # arachnid
    "n01772222": ("spider", "animal"),  # spider
    "n01768244": ("fossil",),  # trilobite
    "n01974773": ("crustacean", "animal"),  # crustacean
    "n01976957": ("crab", "crustacean", "animal"),  # crab
    "n01986214": ("crab", "crustacean", "animal"),  # hermit crab
    "n01982650": ("lobster", "crustacean", "animal"),  # lobster
    "n01940736": ("mollusk", "animal"),  # mollusk
    "n01943899": ("marine life", "animal"),  # conch
    "n01950731": ("marine life", "animal"),  # sea slug
    "n01955084": ("marine life", "animal"),  # chiton
    "n01968897": ("marine life", "animal"),  # chambered nautilus
    "n01909422": ("marine life", "animal"),  # coelenterate
    "n01915811": ("coral", "marine life", "animal"),  # coral
    "n02316707": ("marine life", "animal"),  # echinoderm
    "n01922303": ("worm", "animal"),  # worm
    # --- People ---
    "n09835506": ("baseball", "sports", "person"),  # ballplayer
    "n10148035": ("wedding", "person"),  # groom
    "n10565667": ("diving", "sports", "person"),  # scuba diver
    # --- Plants, fungi and landscapes ---
    "n11669921": ("flower", "plant", "nature"),  # flower
    "n12057211": ("orchid", "flower", "plant"),  # yellow lady's slipper
    "n12992868": ("mushroom", "nature"),  # fungus
    "n07734744": ("nature",),  # mushroom
    "n11879895": ("flower", "plant", "nature"),  # rapeseed
    "n12267677": ("plant", "nature"),  # acorn
    "n12620546": ("plant", "nature"),  # hip
    "n12768682": ("plant", "nature"),  # buckeye
    "n07802026": ("farm", "nature"),  # hay
    "n03530642": ("nature",),  # honeycomb
    "n04275548": ("spider", "nature"),  # spider web
    "n09287968": ("landscape", "nature"),  # geological formation
    "n09359803": ("mountain", "landscape", "nature"),  # mountain
    "n09256479": ("underwater", "marine life", "nature"),  # coral reef
    "n09332890": ("lake", "landscape", "nature"),  # lakeside
    "n09399592": ("coast", "landscape", "nature"),  # promontory
    "n09421951": ("beach", "coast", "nature"),  # sandbar
    "n09428293": ("beach", "coast", "nature"),  # seashore
    # --- Food and drink ---
    "n00021265": ("food",),  # food
    "n07707451": ("vegetable", "food"),  # vegetable
    "n07705931": ("fruit", "food"),  # edible fruit
    "n07679356": ("bread", "food"),  # bread
    "n07609840": ("dessert", "food"),  # dessert
    "n07695965": ("fast food", "food"),  # sandwich
    "n07873807": ("fast food", "food"),  # pizza
    "n07880968": ("fast food", "food"),  # burrito
    "n07871810": ("food",),  # meat loaf
    "n07836838": ("dessert", "food"),  # chocolate sauce
    "n12144580": ("vegetable", "food"),  # corn
    "n13133613": ("vegetable", "food"),  # ear
    "n07565083": (),  # menu
    "n07891726": ("wine", "drink"),  # wine
    "n07929519": ("coffee", "drink"),  # coffee
    "n07930864": ("drink",),  # cup
    "n07932039": ("drink",),  # eggnog
    # --- Vehicles ---
    "n04576211": ("vehicle",),  # wheeled vehicle
    "n02958343": ("car", "vehicle"),  # car
    "n02701002": ("vehicle",),  # ambulance
    "n03770679": ("van", "car", "vehicle"),  # minivan
    "n04490091": ("truck", "vehicle"),  # truck
    "n04520170": ("van", "vehicle"),  # van
    "n02924116": ("bus", "vehicle"),  # bus
    "n02917067": ("train", "vehicle"),  # bullet train
    "n03684823": ("train", "vehicle"),  # locomotive
    "n02959942": ("train", "vehicle"),  # car
    "n02834778": ("bicycle", "vehicle"),  # bicycle
    "n03790512": ("motorcycle", "vehicle"),  # motorcycle
    "n03791053": ("motorcycle", "vehicle"),  # motor scooter
    "n02970849": ("cart", "vehicle"),  # cart
    "n04530566": ("boat", "vehicle"),  # vessel
    "n04128837": ("sailboat", "boat", "vehicle"),  # sailing vessel
    "n04194289": ("ship", "vehicle"),  # ship
    "n04552696": ("ship", "military", "vehicle"),  # warship
    "n04606251": ("ship",),  # wreck
    "n04612504": ("boat", "vehicle"),  # yawl
    "n02686568": ("aircraft", "vehicle"),  # aircraft
    "n04552348": ("aircraft", "military", "vehicle"),  # warplane
    "n02782093": (),  # balloon
    "n04266014": ("space", "vehicle"),  # space shuttle
    "n03764276": ("military", "vehicle"),  # military vehicle
    "n04235291": ("winter", "vehicle"),  # sled
    "n02860847": ("winter", "sports"),  # bobsled
    "n04252077": ("winter", "vehicle"),  # snowmobile
    "n04252225": ("winter", "truck", "vehicle"),  # snowplow
    "n04465501": ("farm", "vehicle"),  # tractor
    "n04065272": ("camping", "vehicle"),  # recreational vehicle
    "n03445924": ("golf", "vehicle"),  # golfcart
    "n02797295": ("garden",),  # barrow
    "n04204347": ("shopping",),  # shopping cart
    "n04204238": ("shopping", "container"),  # shopping basket
    "n02974003": ("car", "vehicle"),  # car wheel
    "n02965783": ("car", "vehicle"),  # car mirror
    "n04162706": ("car", "vehicle"),  # seat belt
    "n03841143": ("car", "vehicle"),  # odometer
    "n03459775": ("car", "vehicle"),  # grille
    "n03208938": ("car", "vehicle"),  # disk brake
    "n03843555": ("car", "vehicle"),  # oil filter
    "n03425413": ("gas station",),  # gas pump
    "n03874293": ("boat",),  # paddlewheel
    "n03873416": ("boat",),  # paddle
    "n04592741": ("aircraft", "vehicle"),  # wing
    # --- Buildings and places ---
    "n02913152": ("building", "architecture"),  # building
    "n03953416": ("religion", "building", "architecture"),  # place of worship
    "n03781244": ("religion", "building", "architecture"),  # monastery
    "n03877845": ("building", "architecture"),  # palace
    "n02980441": ("building", "architecture"),  # castle
    "n04005630": ("building", "architecture"),  # prison
    "n03042490": ("building", "architecture"),  # cliff dwelling
    "n04613696": ("building",),  # yurt
    "n03776460": ("building",),  # mobile home
    "n03748162": ("shop", "building"),  # mercantile establishment
    "n03661043": ("book", "building"),  # library
    "n02871525": ("book", "shop", "building"),  # bookshop
    "n02793495": ("farm", "building"),  # barn
    "n03457902": ("garden", "building"),  # greenhouse
    "n03697007": ("industry", "building"),  # lumbermill
    "n03240683": ("industry",),  # drilling platform
    "n04081281": ("building",),  # restaurant
    "n03032252": ("entertainment", "building"),  # cinema
    "n03529860": ("entertainment", "home"),  # home theater
    "n02727426": ("farm",),  # apiary
    "n02825657": ("tower", "architecture"),  # bell cote
    "n04105068": ("roof", "architecture"),  # roof
    "n03220513": ("architecture",),  # dome
    "n04523525": ("architecture",),  # vault
    "n02814860": ("tower", "coast", "architecture"),  # beacon
    "n04562935": ("tower", "architecture"),  # water tower
    "n02898711": ("bridge", "architecture"),  # bridge
    "n03743902": ("monument", "architecture"),  # memorial
    "n02892201": ("monument",),  # brass
    "n03837869": ("monument", "architecture"),  # obelisk
    "n03903868": ("architecture",),  # pedestal
    "n04458633": ("art", "monument"),  # totem pole
    "n03388043": ("water", "architecture"),  # fountain
    "n03160309": ("water", "architecture"),  # dam
    "n03933933": ("water", "architecture"),  # pier
    "n03216828": ("harbor", "water"),  # dock
    "n02894605": ("coast", "water"),  # breakwater
    "n02788148": ("architecture",),  # bannister
    "n03899768": ("garden", "home"),  # patio
    "n03327234": ("fence",),  # fence
    "n04326547": ("architecture",),  # stone wall
    "n04239074": ("door", "architecture"),  # sliding door
    "n03355925": ("flag",),  # flagpole
    "n02699494": ("religion",),  # altar
    "n03998194": ("religion",),  # prayer rug
    "n04532106": ("religion", "clothing"),  # vestment
    "n02843684": ("garden",),  # birdhouse
    "n04296562": ("entertainment",),  # stage
    "n04418357": ("entertainment",),  # theater curtain
    "n02966193": ("amusement park", "entertainment"),  # carousel
    "n04371774": ("playground",),  # swing
    "n04243546": ("game", "entertainment"),  # slot
    "n04525305": ("shopping",),  # vending machine
    "n03891251": ("park", "furniture"),  # park bench
    "n03126707": ("construction",),  # crane
    "n06794110": ("sign", "street"),  # street sign
    "n06874185": ("street",),  # traffic light
    "n03891332": ("street",),  # parking meter
    "n03710193": ("street",),  # mailbox
    "n03717622": ("street",),  # manhole cover
    "n03902125": ("phone", "street"),  # pay-phone
    # --- Clothing and accessories ---
    "n03051540": ("clothing",),  # clothing
    "n03380867": ("shoes", "clothing"),  # footwear
    "n03497657": ("hat", "clothing"),  # hat
    "n02807133": ("swimming", "clothing"),  # bathing cap
    "n04209133": ("bathroom", "clothing"),  # shower cap
    "n03787032": ("graduation", "hat", "clothing"),  # mortarboard
    "n02669723": ("graduation", "clothing"),  # academic gown
    "n03513137": ("helmet",),  # helmet
    "n03379051": ("helmet", "sports"),  # football helmet
    "n04371563": ("swimwear", "clothing"),  # swimsuit
    "n03710637": ("swimwear", "clothing"),  # maillot
    "n03450230": ("dress", "clothing"),  # gown
    "n04230808": ("skirt", "clothing"),  # skirt
    "n03815615": ("tie", "clothing"),  # necktie
    "n03057021": ("coat", "clothing"),  # coat
    "n03045698": ("clothing",),  # cloak
    "n03623198": ("sports", "clothing"),  # knee pad
    "n03763968": ("military", "clothing"),  # military uniform
    "n03026506": ("Christmas", "holiday"),  # Christmas stocking
    "n03590841": ("Halloween", "holiday"),  # jack-o'-lantern
    "n03485794": ("accessory",),  # handkerchief
    "n02910353": ("accessory",),  # buckle
    "n04584207": ("hair", "accessory"),  # wig
    "n03476684": ("hair", "accessory"),  # hair slide
    "n03814906": ("jewelry", "accessory"),  # necklace
    "n04507155": ("accessory",),  # umbrella
    "n04356056": ("sunglasses", "accessory"),  # sunglasses
    "n04355933": ("sunglasses", "accessory"),  # sunglass
    "n03197337": ("watch", "accessory"),  # digital watch
    "n04548362": ("money", "accessory"),  # wallet
    "n02773037": ("bag",),  # bag
    "n02769748": ("bag", "accessory"),  # backpack
    "n04026417": ("bag", "accessory"),  # purse
    "n03709823": ("bag", "accessory"),  # mailbag
    "n04235860": ("camping",),  # sleeping bag
    "n03792972": ("camping",),  # mountain tent
    "n03725035": ("mask",),  # mask
    "n03724870": ("costume",),  # mask
    "n04229816": ("mask", "winter", "clothing"),  # ski mask
    "n03868863": ("mask", "medical"),  # oxygen mask
    "n02739668": ("armor",),  # armor
    "n02916936": ("armor", "clothing"),  # bulletproof vest
    "n02740764": ("armor",),  # armor plate
    "n03929855": ("helmet", "armor"),  # pickelhaube
    "n04141327": ("weapon",),  # scabbard
    "n03527444": ("weapon",),  # holster
    "n04565375": ("weapon",),  # weapon
    "n02879718": ("weapon", "sports"),  # bow
    "n02950826": ("weapon", "military"),  # cannon
    "n03773504": ("weapon", "military"),  # missile
    "n04008634": ("weapon", "military"),  # projectile
    "n03188531": ("baby",),  # diaper
    "n02834397": ("baby",),  # bib
    "n03825788": ("baby",),  # nipple
    "n04447443": ("cosmetics",),  # toiletry
    "n04525038": ("textile",),  # velvet
    "n04599235": ("textile",),  # wool
    "n04277352": ("textile",),  # spindle
    "n04179913": ("sewing", "appliance"),  # sewing machine
    "n04423845": ("sewing",),  # thimble
    "n04127249": ("sewing",),  # safety pin
    # --- Home ---
    "n03405725": ("furniture",),  # furniture
    "n02766320": ("baby", "furniture"),  # baby bed
    "n03001627": ("chair", "furniture"),  # chair
    "n03388549": ("bed", "furniture"),  # four-poster
    "n03201208": ("table", "furniture"),  # dining table
    "n03179701": ("office", "furniture"),  # desk
    "n03982430": ("game", "furniture"),  # pool table
    "n03742115": ("bathroom", "furniture"),  # medicine chest
    "n03337140": ("office", "furniture"),  # file
    "n04380533": ("lighting", "furniture"),  # table lamp
    "n04033995": ("bedroom",),  # quilt
    "n03938244": ("bedroom",),  # pillow
    "n03788365": ("bedroom",),  # mosquito net
    "n02729837": ("appliance", "home"),  # appliance
    "n03620052": ("appliance", "kitchen"),  # kitchen appliance
    "n03207941": ("appliance", "kitchen"),  # dishwasher
    "n04070727": ("appliance", "kitchen"),  # refrigerator
    "n04330267": ("appliance", "kitchen"),  # stove
    "n03259280": ("cookware", "kitchen"),  # Dutch oven
    "n03297495": ("coffee", "appliance", "kitchen"),  # espresso maker
    "n03101986": ("cookware", "kitchen"),  # cooking utensil
    "n03920288": ("science",),  # Petri dish
    "n04597913": ("kitchen",),  # wooden spoon
    "n03775546": ("cookware", "kitchen"),  # mixing bowl
    "n02880940": ("kitchen",),  # bowl
    "n03063599": ("drinkware", "kitchen"),  # coffee mug
    "n02823750": ("drinkware", "drink"),  # beer glass
    "n03443371": ("drinkware", "drink"),  # goblet
    "n03063689": ("coffee", "kitchen"),  # coffeepot
    "n04398044": ("kitchen",),  # teapot
    "n03062245": ("drink", "kitchen"),  # cocktail shaker
    "n03950228": ("kitchen",),  # pitcher
    "n03633091": ("kitchen",),  # ladle
    "n04332243": ("kitchen",),  # strainer
    "n04131690": ("kitchen",),  # saltshaker
    "n03733805": ("kitchen",),  # measuring cup
    "n02951585": ("kitchen",),  # can opener
    "n03109150": ("kitchen",),  # corkscrew
    "n03041632": ("kitchen",),  # cleaver
    "n04476259": ("kitchen",),  # tray
    "n03961711": ("kitchen",),  # plate rack
    "n03887697": ("kitchen",),  # paper towel
    "n03207743": ("kitchen",),  # dishrag
    "n03786901": ("kitchen",),  # mortar
    "n02808440": ("bathroom",),  # bathtub
    "n04493381": ("bathroom",),  # tub
    "n04553703": ("bathroom",),  # washbasin
    "n04254120": ("bathroom",),  # soap dispenser
    "n04447861": ("bathroom",),  # toilet seat
    "n04209239": ("bathroom",),  # shower curtain
    "n02808304": ("bathroom",),  # bath towel
    "n15075141": ("bathroom",),  # toilet tissue
    "n03970156": ("bathroom",),  # plunger
    "n03223299": ("home",),  # doormat
    "n04589890": ("home",),  # window screen
    "n04590129": ("home",),  # window shade
    "n04201297": ("home",),  # shoji
    "n03347037": ("home",),  # fire screen
    "n04040759": ("home",),  # radiator
    "n04265275": ("appliance", "home"),  # space heater
    "n03271574": ("appliance", "home"),  # electric fan
    "n04372370": ("home",),  # switch
    "n04522168": ("home",),  # vase
    "n03039947": ("cleaning", "home"),  # cleaning implement
    "n03637318": ("lighting", "home"),  # lampshade
    "n04263760": ("lighting",),  # source of illumination
    "n03094503": ("container",),  # container
    "n02876657": ("bottle", "container"),  # bottle
    "n04591713": ("wine", "bottle", "drink"),  # wine bottle
    "n02823428": ("beer", "bottle", "drink"),  # beer bottle
    "n03983396": ("bottle", "drink"),  # pop bottle
    "n04557648": ("bottle", "drink"),  # water bottle
    "n03937543": ("medical", "bottle"),  # pill bottle
    "n03764736": ("farm", "container"),  # milk can
    "n04049303": ("garden", "container"),  # rain barrel
    "n03991062": ("garden",),  # pot
    # --- Music, sports and play ---
    "n03800933": ("musical instrument", "music"),  # musical instrument
    "n03467517": ("guitar", "musical instrument", "music"),  # guitar
    "n03928116": ("piano", "musical instrument", "music"),  # piano
    "n03250847": ("music",),  # drumstick
    "n03929660": ("guitar", "music"),  # pick
    "n02778669": ("ball", "sports"),  # ball
    "n03445777": ("golf", "ball", "sports"),  # golf ball
    "n04409515": ("tennis", "ball", "sports"),  # tennis ball
    "n04039381": ("tennis", "sports"),  # racket
    "n04023962": ("boxing", "sports"),  # punching bag
    "n04019541": ("ice hockey", "sports"),  # puck
    "n02790996": ("fitness", "sports"),  # barbell
    "n03255030": ("fitness", "sports"),  # dumbbell
    "n03472232": ("gymnastics", "sports"),  # gymnastic apparatus
    "n04228054": ("winter", "sports"),  # ski
    "n03888257": ("sports",),  # parachute
    "n04251144": ("diving", "sports"),  # snorkel
    "n04067472": ("fishing",),  # reel
    "n04149813": ("sports",),  # scoreboard
    "n04028315": ("game",),  # puzzle
    "n04399382": ("toy",),  # teddy
    "n03944341": ("toy",),  # pinwheel
    # --- Electronics, office and science ---
    "n03082979": ("computer", "electronics"),  # computer
    "n06359193": (),  # web site
    "n04238763": ("science",),  # slide rule
    "n03085013": ("computer", "electronics"),  # computer keyboard
    "n03492542": ("computer", "electronics"),  # hard disc
    "n03602883": ("computer", "electronics"),  # joystick
    "n03777754": ("computer", "electronics"),  # modem
    "n03782006": ("computer", "electronics"),  # monitor
    "n03793489": ("computer", "electronics"),  # mouse
    "n04004767": ("computer", "electronics"),  # printer
    "n04152593": ("computer", "electronics"),  # screen
    "n04264628": ("computer", "electronics"),  # space bar
    "n04401088": ("phone", "electronics"),  # telephone
    "n02942699": ("camera", "photography"),  # camera
    "n03657121": ("photography",),  # lens cap
    "n04485082": ("photography",),  # tripod
    "n02978881": ("music",),  # cassette
    "n02979186": ("music", "electronics"),  # cassette player
    "n02988304": ("music", "electronics"),  # CD player
    "n03584254": ("music", "electronics"),  # iPod
    "n03691459": ("music", "electronics"),  # loudspeaker
    "n03759954": ("music", "electronics"),  # microphone
    "n04392985": ("music", "electronics"),  # tape player
    "n04041544": ("electronics",),  # radio
    "n04404412": ("electronics",),  # television
    "n04009552": ("electronics",),  # projector
    "n04074963": ("electronics",),  # remote control
    "n03924679": ("office", "electronics"),  # photocopier
    "n03857828": ("science", "electronics"),  # oscilloscope
    "n04608567": ("office",),  # writing implement
    "n02840245": ("office",),  # binder
    "n03291819": ("office",),  # envelope
    "n03658185": ("office",),  # letter opener
    "n03908618": ("office",),  # pencil box
    "n03908714": ("office",),  # pencil sharpener
    "n04116512": ("office",),  # rubber eraser
    "n04118776": ("office",),  # rule
    "n04505470": ("office",),  # typewriter keyboard
    "n06596364": ("book",),  # comic book
    "n07248320": ("book",),  # book jacket
    "n02815834": ("science",),  # beaker
    "n02794156": ("science",),  # barometer
    "n03692522": ("science",),  # loupe
    "n04044716": ("science",),  # radio telescope
    "n04437953": ("clock",),  # timepiece
    "n03739693": ("medical",),  # medical instrument
    "n02786058": ("medical",),  # Band Aid
    "n03141823": ("medical",),  # crutch
    "n03814639": ("medical",),  # neck brace
    "n04336792": ("medical",),  # stretcher
    "n02977058": ("money",),  # cash machine
    "n03935335": ("money",),  # piggy bank
    "n04125021": ("money",),  # safe
    # --- Tools, farm and garden ---
    "n04451818": ("tool",),  # tool
    "n02966687": ("tool",),  # carpenter's kit
    "n04208210": ("garden", "tool"),  # shovel
    "n03649909": ("garden", "tool"),  # lawn mower
    "n03967562": ("farm",),  # plow
    "n03496892": ("farm", "vehicle"),  # harvester
    "n04428191": ("farm",),  # thresher
    "n03876231": ("art", "tool"),  # paintbrush
    "n03992509": ("art",),  # potter's wheel
    "n03804744": ("hardware",),  # nail
    "n04153751": ("hardware",),  # screw
    "n03682487": ("lock",),  # lock
    "n03803284": ("dog", "animal"),  # muzzle
}

# Classes that say little about a photo (packaging, fasteners, surfaces, screens), or that make an
# awkward title when they are guessed wrong (toilet seat, prison). They stay searchable, but a lower
# priority keeps them out of PhotoPrism titles when another label is found.
NOISE_PRIORITY = -2
NOISE: frozenset[str] = frozenset(
    {
        "n01924916",  # flatworm
        "n01930112",  # nematode
        "n02747177",  # ashcan
        "n02786058",  # Band Aid
        "n02840245",  # binder
        "n02877765",  # bottlecap
        "n02892767",  # brassiere
        "n02910353",  # buckle
        "n02971356",  # carton
        "n02999410",  # chain
        "n03065424",  # coil
        "n03188531",  # diaper
        "n03207743",  # dishrag
        "n03208938",  # disk brake
        "n03223299",  # doormat
        "n03291819",  # envelope
        "n03467068",  # guillotine
        "n03476991",  # hair spray
        "n03485794",  # handkerchief
        "n03492542",  # hard disc
        "n03532672",  # hook
        "n03598930",  # jigsaw puzzle
        "n03657121",  # lens cap
        "n03658185",  # letter opener
        "n03690938",  # lotion
        "n03729826",  # matchstick
        "n03777754",  # modem
        "n03804744",  # nail
        "n03814639",  # neck brace
        "n03841143",  # odometer
        "n03843555",  # oil filter
        "n03857828",  # oscilloscope
        "n03871628",  # packet
        "n03887697",  # paper towel
        "n03908714",  # pencil sharpener
        "n03920288",  # Petri dish
        "n03924679",  # photocopier
        "n03937543",  # pill bottle
        "n03958227",  # plastic bag
        "n03970156",  # plunger
        "n03976657",  # pole
        "n04005630",  # prison
        "n04008634",  # projectile
        "n04074963",  # remote control
        "n04116512",  # rubber eraser
        "n04118776",  # rule
        "n04127249",  # safety pin
        "n04152593",  # screen
        "n04153751",  # screw
        "n04162706",  # seat belt
        "n04209239",  # shower curtain
        "n04238763",  # slide rule
        "n04254120",  # soap dispenser
        "n04264628",  # space bar
        "n04357314",  # sunscreen
        "n04372370",  # switch
        "n04376876",  # syringe
        "n04447861",  # toilet seat
        "n04525038",  # velvet
        "n04584207",  # wig
        "n04589890",  # window screen
        "n04590129",  # window shade
        "n04599235",  # wool
        "n06359193",  # web site
        "n06785654",  # crossword puzzle
        "n07248320",  # book jacket
        "n07565083",  # menu
        "n09229709",  # bubble
        "n15075141",  # toilet tissue
    }
)
