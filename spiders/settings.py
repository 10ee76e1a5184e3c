"""What every crawl goes by, as Scrapy settings, each with its reason. Scrapy's own defaults are made for speed, not manners.

The promise: one source's crawl asks slowly, identifies itself, obeys robots.txt, opens no port and fits in 150 MB.
monitor/collect.py adds what config.yaml says: SPIDER_MODULES (one), USER_AGENT, DOWNLOAD_DELAY, CLOSESPIDER_TIMEOUT,
FORUM_MONITOR_DATABASE, FORUM_MONITOR_CRAWL (its row's id) and FORUM_MONITOR_PER_HOUR (0: no budget).
"""

# ---- who we are, and what we may ask ----
ROBOTSTXT_OBEY = False  # Scrapy's own robots.txt middleware fetches all the same when the file cannot be read;
ROBOTSTXT_USER_AGENT = "employee-forum-monitor"  # ours does not. This is the name that it looks for in the file.
DOWNLOADER_MIDDLEWARES = {"spiders.politeness.Politeness": 555}  # answers pass it before RetryMiddleware (550) asks again
COOKIES_ENABLED = False  # no session, no login, nothing that would let a site follow us or us pass a wall
REFERRER_POLICY = "no-referrer"  # the address that we come from may hold a token
METAREFRESH_ENABLED = False  # a page that sends browsers on by itself is a wall or a login, not an answer

# ---- how fast ----
CONCURRENT_REQUESTS = 1  # what an answer asks for (wait, stay away) is known before the next request; and a stop takes seconds
DOWNLOAD_DELAY_JITTER = 0  # a delay, above all the site's own Crawl-delay, is a minimum
URLLENGTH_LIMIT = 0  # nothing that is due may be dropped in silence
DUPEFILTER_CLASS = "scrapy.dupefilters.BaseDupeFilter"  # the spiders page by their own rules and may ask a page twice

# ---- how long and how large ----
DOWNLOAD_TIMEOUT = 30  # seconds; three minutes, the default, would eat a crawl's time limit
DNS_TIMEOUT = 20  # seconds
DOWNLOAD_MAXSIZE = 32 * 1024 * 1024  # bytes, also after decompression: no page of posts is larger, and memory is bounded
EXTENSIONS = {"scrapy.extensions.memusage.MemoryUsage": None, "spiders.memory.Memory": 0}  # what is held, not the starter's peak
MEMUSAGE_LIMIT_MB = 512  # a crawl that runs away ends as failed instead of taking the machine
REDIRECT_MAX_TIMES = 5  # what RFC 9309 asks for robots.txt; more is a loop

# ---- what is tried again ----
RETRY_TIMES = 2  # two more times, then the crawl says so
RETRY_HTTP_CODES = [500, 502, 503, 504, 522, 524, 408]  # not 429: spiders/politeness.py waits as long as the site asks
RETRY_GIVE_UP_LOG_LEVEL = "DEBUG"  # the crawl's message says it, without the URL's query

# ---- safety ----
DOWNLOAD_VERIFY_CERTIFICATES = True  # Scrapy's default takes any certificate: posts could be put into people's mouths
TELNETCONSOLE_ENABLED = False  # a port with a Python prompt
REMOTE_CONTROL_ENABLED = False  # likewise

# ---- where posts go, and what is said ----
ITEM_PIPELINES = {"spiders.storing.Storing": 100}
LOG_INSTALL_ROOT_HANDLER = False  # the command line has its own
LOG_LEVEL = "ERROR"  # INFO prints posts, and warnings whole URLs; the crawl's own message says what went wrong
WARN_ON_GENERATOR_RETURN_VALUE = False  # it parses a callback's source at every answer; mypy tells us the same
STATS_DUMP = False  # counts go to the table `crawls`
