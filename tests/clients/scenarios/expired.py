"""A person comes back to a code whose time is over."""


def run(browser, asked):
    browser.open(asked["page"])
    browser.type("User name", asked["user"])
    browser.type("Password", asked["password"])
    browser.press("Sign in")
    assert "No device waits with this code." in browser.alert(), browser.alert()
    assert "start again" in browser.alert(), browser.alert()
