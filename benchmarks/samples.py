"""Texts that no rate was made from, written for the token benchmark: what people say to an assistant, and hear."""

from __future__ import annotations

SPANISH = [
    "Buenas tardes. Mi madre cumple 70 años el sábado 14 de junio y queremos reunir a unas veinticinco "
    "personas en Zaragoza. Tenemos 1.800 euros. Hay dos celíacos, una niña alérgica a las nueces y mi "
    "tío, que no sube escaleras. ¿Qué harías tú primero: el sitio, la comida o avisar a la gente?",
    "Primero el sitio, porque de él depende todo lo demás. Con ese presupuesto salen unos 72 euros por "
    "persona, así que descartaría los salones de bodas y buscaría un restaurante con comedor en planta "
    "baja. Pide tres cosas por escrito: menú sin gluten preparado aparte, lista de alérgenos y acceso "
    "sin escalones. Después avisa a la familia, y deja la tarta para el final.\n\n1. Esta semana: tres "
    "llamadas.\n2. Antes del 20 de mayo: señal y número de comensales.\n3. El día antes: confirmar y "
    "llevar las fotos.",
    "Vale. ¿Y si al final llueve? Mi hermano insiste en hacer una barbacoa en su casa de Cuarte, pero "
    "solo caben doce dentro y la carpa que vio costaba doscientos y pico. Además él trabaja hasta las "
    "tres.",
    "Entonces yo no lo haría en Cuarte: con lluvia la mitad se quedaría fuera, y con sol dependéis de "
    "que él llegue a tiempo. Ofrécele algo suyo sin que cargue con todo, por ejemplo, llevar a los "
    "abuelos y encargarse de la música. Si le hace ilusión la barbacoa, proponédsela para el domingo, "
    "solo con los hermanos.",
    "El contrato de alquiler dice que la fianza se devuelve en el plazo de un mes desde la entrega de "
    "las llaves, salvo desperfectos que excedan del desgaste ordinario. Las entregué el 3 de febrero, "
    "estamos a 21 de marzo y el casero no contesta ni al teléfono ni a los correos. Le debía, eso sí, "
    "43,70 € de la última factura del agua.",
    "Ha pasado el plazo, de modo que puedes reclamar la fianza entera menos los 43,70 € que reconoces "
    "deber. Hazlo por burofax con acuse de recibo y certificación de contenido: quién eres, qué "
    "contrato, cuándo entregaste las llaves, cuánto pides y en qué cuenta. Dale diez días. Si no "
    "responde, hasta 2.000 € se reclama en juicio verbal sin abogado ni procurador; guarda las fotos del "
    "piso vacío y el justificante de la entrega.",
    "La fotosíntesis no es lo contrario de respirar, aunque así nos lo contaran en el colegio. De día la "
    "planta hace ambas cosas: capta dióxido de carbono y libera oxígeno, pero también consume parte de "
    "ese oxígeno en sus mitocondrias, exactamente igual que nosotros. Lo que vemos desde fuera es la "
    "diferencia entre las dos.",
    "Querida Inés: te escribo desde el tren, con la letra torcida y el café derramado sobre el segundo "
    "párrafo. Ayer encontré en el desván las cartas que el abuelo mandaba desde Orán; huelen a naftalina "
    "y a tabaco, y en casi todas pregunta por la mula antes que por la abuela. Me reí sola, y luego ya "
    "no.",
]

ENGLISH = [
    "Hi! I started running in March and I can do 5 km in about 34 minutes. I'd like to finish a half "
    "marathon on October 19th without walking. I can train four times a week, never on Wednesdays, and "
    "my left knee complains after long downhills. What would a sensible plan look like?",
    "You have roughly twenty weeks, which is plenty. Build the distance first and leave speed for the "
    "last six weeks.\n\n- Weeks 1-6: three easy runs of 30-45 minutes, plus a long one that grows from 7 "
    "to 11 km.\n- Weeks 7-14: the long run reaches 16 km; every fourth week is lighter.\n- Weeks 15-20: "
    "one tempo session, two rehearsals at race pace, then rest.\n\nFor the knee, add ten minutes of squats "
    "and calf raises twice a week and choose flat routes for a while.",
    "Thanks, that's clear. My sister says I should buy carbon shoes and that gels are a waste of money. "
    "Who's right? I weigh 82 kg and I sweat like a horse.",
    "She's half right. Carbon plates help fast runners most; at your pace a well-cushioned everyday "
    "trainer is kinder to that knee and costs a third as much. Gels aren't magic, but past ninety "
    "minutes you'll want 30 to 60 grams of carbohydrate an hour, and bananas are awkward to carry. Try "
    "them in training, never for the first time on the day.",
    "The landlord's agent has charged us £385 for 'professional deep cleaning' although the check-out "
    "inventory, which both of us signed on 30 August, says the flat was returned in the same condition. "
    "The deposit is with a scheme, I think, but nobody ever sent us the certificate. What should the "
    "letter say, and how angry may it be?",
    "Keep it short and cold; anger only helps the other side. Name the tenancy, quote the sentence from "
    "the signed inventory, say that you dispute the whole £385, and ask for the scheme's name and "
    "certificate number within fourteen days. If the deposit was never protected you may be owed between "
    "one and three times its amount, so mention that you are aware of it, once, without a threat.",
    "Nobody in the village could remember who had planted the walnut, only that it had been there before "
    "the road. Children were told that it had swallowed a bell. On windless evenings old Mrs. Abernathy "
    "swore she heard it ring, and since she was deaf in both ears, nobody had the heart to argue.",
    "Inflation is an average, and averages hide things. If rents rise by nine percent, fuel falls by "
    "twelve and bread stays where it was, the headline may say two; a pensioner who owns her house and "
    "drives everywhere will wonder what the fuss is about, while the student down the hall can't sleep.",
]

CODE = [
    "SELECT c.name, COUNT(o.id) AS orders, SUM(o.total_cents) / 100.0 AS spent\nFROM customers AS c\nLEFT "
    "JOIN orders AS o ON o.customer_id = c.id AND o.placed_at >= DATE '2025-01-01'\nGROUP BY c.id, c.name\n"
    "HAVING SUM(o.total_cents) > 100000\nORDER BY spent DESC\nLIMIT 20;",
    '#!/usr/bin/env bash\nset -euo pipefail\n\nfor file in "$@"; do\n    target="${file%.*}.webp"\n    if [[ '
    '-e "$target" && "$target" -nt "$file" ]]; then\n        continue\n    fi\n    cwebp -quiet -q 82 '
    '"$file" -o "$target" || { echo "failed: $file" >&2; exit 1; }\ndone\n',
    '{"id": 4711, "customer": {"name": "Åsa Öberg", "vat": "SE556677889901"}, "lines": [\n  {"sku": '
    '"A-1002", "qty": 3, "price": 129.5},\n  {"sku": "B-77", "qty": 1, "price": 2490.0}\n], "due": '
    '"2025-07-31", "paid": false}',
    "export function useDebounced<T>(value: T, delay = 300): T {\n  const [settled, setSettled] = "
    "useState(value);\n  useEffect(() => {\n    const timer = setTimeout(() => setSettled(value), delay);\n"
    "    return () => clearTimeout(timer);\n  }, [value, delay]);\n  return settled;\n}",
    "func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {\n\ts.mu.RLock()\n\tdefer "
    "s.mu.RUnlock()\n\titem, ok := s.items[key]\n\tif !ok || time.Now().After(item.expires) {\n\t\treturn nil, "
    'fmt.Errorf("get %q: %w", key, ErrNotFound)\n\t}\n\treturn item.data, nil\n}',
    "fn median(mut values: Vec<f64>) -> Option<f64> {\n    if values.is_empty() {\n        return None;\n"
    "    }\n    values.sort_by(|a, b| a.total_cmp(b));\n    let mid = values.len() / 2;\n    Some(if "
    "values.len() % 2 == 0 { (values[mid - 1] + values[mid]) / 2.0 } else { values[mid] })\n}",
    ".card { display: grid; grid-template-columns: 96px 1fr; gap: 1rem; padding: 1.25rem; border-radius: "
    "12px;\n  box-shadow: 0 1px 3px rgb(0 0 0 / 12%); }\n@media (max-width: 600px) {\n  .card { "
    "grid-template-columns: 1fr; }\n}",
    "class Ledger:\n    def __init__(self) -> None:\n        self._entries: list[tuple[date, Decimal]] = "
    "[]\n\n    def balance(self, on: date) -> Decimal:\n        return sum((amount for day, amount in "
    "self._entries if day <= on), Decimal(0))\n",
]
