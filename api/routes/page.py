"""The page at ``/`` on which people try the service, and Ollama's greeting at the same place."""

from flask import Blueprint, Response, render_template, request

from api.http.openapi import STRING, TEXT, operation
from shared.settings import Settings
from shared.tasks.registry import all_tasks

HTML = "text/html"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; "  # a photo is shown from the browser's own memory
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"  # no text can become HTML
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",  # after an update no old script meets a new page
}


def page_routes(settings: Settings) -> Blueprint:
    """Return ``/`` and ``/page/<file>``."""
    routes = Blueprint(
        "page",
        __name__,
        template_folder="../page",
        static_folder="../page/static",
        static_url_path="/page",
    )

    @routes.get("/")
    @operation("ollama", reply={TEXT: STRING, HTML: STRING}, errors=[403])
    def greet() -> Response:
        """Answer browsers with the page, and other clients as an Ollama server does.

        Browsers prefer HTML to plain text; Ollama's command line checks for a server's answer.
        """
        if request.accept_mimetypes.best_match([TEXT, HTML]) == HTML:
            needs_key = bool(settings.api_keys)
            page = render_template("index.html", tasks=all_tasks(), needs_key=needs_key)
            response = Response(page, mimetype=HTML)
            response.add_etag()
            response.make_conditional(request)
        else:
            response = Response("Ollama is running", mimetype=TEXT)
        response.vary.add("Accept")
        return response

    @routes.after_request
    def protect(response: Response) -> Response:
        """Have the browser load nothing from elsewhere, and run nothing but the page's script."""
        response.headers.update(HEADERS)
        return response

    return routes
