//! As much of HTML as plain pages are made of: forms, and the text around them.

use std::collections::BTreeMap;

use url::Url;

/// A form, with what it holds already.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) action: Url,
    /// True for one that is sent as a query.
    pub(crate) is_query: bool,
    /// Names and values of all fields but buttons, in order.
    pub(crate) fields: Vec<(String, String)>,
    /// What each button says, and the field it sends.
    buttons: Vec<(String, Option<(String, String)>)>,
}

impl Form {
    pub(crate) fn has_button(&self, button: &str) -> bool {
        self.buttons.iter().any(|(text, _)| text == button)
    }

    /// The fields that pressing a button sends, after these were typed in.
    #[track_caller]
    pub(crate) fn filled(&self, button: &str, typed: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut fields = self.fields.clone();
        for (name, value) in typed {
            let field = fields.iter_mut().find(|(field, _)| field == name);
            field.unwrap_or_else(|| panic!("no field {name} in {self:?}")).1 = (*value).to_owned();
        }
        let (_, sent) = self.buttons.iter().find(|(text, _)| text == button).unwrap();
        fields.extend(sent.clone());
        fields
    }

    /// The value of a field.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(field, _)| field == name);
        &field.unwrap_or_else(|| panic!("no field {name} in {self:?}")).1
    }
}

/// The forms of a page at `url`.
pub(crate) fn forms(page: &str, url: &Url) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut inside = false;
    for (tag, text) in tags(page) {
        let name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap().to_lowercase();
        let given = attributes(tag);
        let value = |key: &str| given.get(key).cloned().unwrap_or_default();
        if name == "form" {
            let action = url.join(&value("action")).unwrap();
            let is_query = !value("method").eq_ignore_ascii_case("post");
            forms.push(Form { action, is_query, fields: Vec::new(), buttons: Vec::new() });
            inside = true;
        } else if tag.starts_with("/form") {
            inside = false;
        }
        let Some(form) = forms.last_mut().filter(|_| inside) else { continue };
        let field = given.get("name").map(|name| (name.clone(), value("value")));
        match (name.as_str(), value("type").as_str()) {
            ("input", "radio" | "checkbox") if !given.contains_key("checked") => {}
            ("button", _) => form.buttons.push((self::text(text), field)),
            ("input", "submit") => form.buttons.push((value("value"), field)),
            ("input" | "select", _) => form.fields.extend(field),
            // The first choice, or the one that is chosen.
            ("option", _) => {
                let (_, chosen) = form.fields.last_mut().expect("a choice belongs to a field");
                if chosen.is_empty() || given.contains_key("selected") {
                    *chosen = value("value");
                }
            }
            _ => {}
        }
    }
    forms
}

/// What a person reads of a page, its white space made one.
pub(crate) fn text(page: &str) -> String {
    let mut words = page.split('<').next().unwrap_or_default().to_owned();
    let mut hidden = false;
    for (tag, text) in tags(page) {
        match tag.split_whitespace().next().unwrap_or_default() {
            "style" | "script" | "title" => hidden = true,
            "/style" | "/script" | "/title" => hidden = false,
            _ => {}
        }
        if !hidden {
            words.push(' ');
            words.push_str(text);
        }
    }
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    unescaped(&words)
}

/// Each tag without its brackets, with the text behind it.
fn tags(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split('<').skip(1).filter_map(|part| part.split_once('>'))
}

fn attributes(tag: &str) -> BTreeMap<String, String> {
    let mut rest = tag.split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim();
    let mut found = BTreeMap::new();
    while let Some(end) =
        rest.find(|c: char| c == '=' || c.is_whitespace()).or((!rest.is_empty()).then_some(rest.len()))
    {
        let (name, behind) = rest.split_at(end);
        let name = name.to_lowercase();
        rest = behind.trim_start();
        let mut value = "";
        if let Some(quoted) = rest.strip_prefix("=\"") {
            (value, rest) = quoted.split_once('"').expect("a quoted value");
        } else if let Some(bare) = rest.strip_prefix('=') {
            (value, rest) = bare.split_once(char::is_whitespace).unwrap_or((bare, ""));
        }
        rest = rest.trim_start();
        found.insert(name, unescaped(value));
    }
    found
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&#x27;", "'").replace("&amp;", "&")
}

#[test]
fn form_is_read_as_a_browser_reads_it() {
    let page = "<p>a &amp; b</p><form method=\"post\" action=\"/device\"><input type=hidden name=\"csrf\" value=\"x&quot;y\">\
                <input name=\"user_code\" value=\"ABCD\" required autofocus><select name=\"org\"><option value=\"1\">One</option>\
                <option value=\"2\" selected>Two</option></select><button name=\"answer\" value=\"yes\"> Approve </button>\
                <button>Cancel</button></form><input name=\"outside\">";
    let url = Url::parse("https://gate.test/a?b").unwrap();
    let forms = forms(page, &url);
    assert_eq!(forms.len(), 1);
    assert_eq!(forms[0].action.as_str(), "https://gate.test/device");
    let filled = forms[0].filled("Approve", &[("user_code", "WXYZ")]);
    let filled: Vec<_> = filled.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(filled, [("csrf", "x\"y"), ("user_code", "WXYZ"), ("org", "2"), ("answer", "yes")]);
    assert_eq!(text(page), "a & b One Two Approve Cancel");
}
