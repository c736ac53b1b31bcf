"""A report on a screen, with all that it asks for and complains of."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, expect

DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


class Screen:
    def __init__(self, browser: Browser, file: Path, **options: Any) -> None:
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.address = file.as_uri()
        self.context = browser.new_context(**(options or DESKTOP))
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        began = time.monotonic()
        self.page.goto(self.address)
        expect(self.page.locator("html[data-ready=yes]")).to_be_attached(timeout=60_000)
        self.seconds = time.monotonic() - began

    def table(self, caption: str) -> Locator:
        """A table with its controls."""
        return self.page.locator(".table").filter(has=self.page.locator("caption", has_text=caption))

    def cells(self, caption: str, label: str) -> list[str]:
        """A column of what is shown, from the top."""
        return self.table(caption).locator(f'td[data-label="{label}"]').all_inner_texts()

    def sideways(self) -> int:
        """So many pixels the page is wider than the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []
        # Icons and fonts too: `data:` is no request to anybody.
        assert {url for url in self.asked if not url.startswith("data:")} == {self.address}
